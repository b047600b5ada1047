"""The quota of a stream or of an account: how much it stores, and how much it may store."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sagakit.jetstream.answers import ApiError, to_error
from sagakit.jetstream.link import Link
from sagakit.store.ports import BucketUsage


class _BytesLimit(msgspec.Struct):
    max_bytes: int = -1


class _BytesUsed(msgspec.Struct):
    bytes: int = 0


class _StreamStorage(msgspec.Struct):
    config: _BytesLimit = msgspec.field(default_factory=_BytesLimit)
    state: _BytesUsed = msgspec.field(default_factory=_BytesUsed)
    error: ApiError | None = None


class _StorageLimit(msgspec.Struct):
    max_storage: int = -1


class _AccountStorage(msgspec.Struct):
    storage: int = 0
    limits: _StorageLimit = msgspec.field(default_factory=_StorageLimit)
    error: ApiError | None = None


T = TypeVar("T", _StreamStorage, _AccountStorage)


async def usage_of_stream(link: Link, stream: str, name: str) -> BucketUsage:
    """Ask a stream's leader. `name` goes into the answer. Raises StoreError."""
    found = msgspec.json.decode(await link.request(f"$JS.API.STREAM.INFO.{stream}", b""), type=_StreamStorage)
    if found.error is not None:
        raise link.refused(found.error, stream, key=name)
    return BucketUsage(name, found.state.bytes, found.config.max_bytes if found.config.max_bytes > 0 else None)


async def usage_of_account(link: Link) -> BucketUsage | None:
    """Ask how much its streams hold on disk; None without a limit for all of them. Raises StoreError."""
    found = msgspec.json.decode(await link.request("$JS.API.INFO", b""), type=_AccountStorage)
    if found.error is not None:
        raise to_error(found.error, key="the account", expected=None)
    limit = found.limits.max_storage
    return BucketUsage("the account", found.storage, limit) if limit > 0 else None
