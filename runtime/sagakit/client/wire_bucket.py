"""A bucket of keys and values over a `Wire`, for code that runs on asyncio and on trio alike."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from sagakit.errors import Ambiguous, Conflict, Unavailable
from sagakit.jetstream.answers import NO_MESSAGE, ApiError, decode_ack, to_error
from sagakit.jetstream.wire import header_block
from sagakit.store.ports.wire_port import Wire

AGAIN = 0.1
"""Seconds until a call is tried again during an outage."""
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = b"KV-Operation"


class Revised(NamedTuple):
    """A value with its revision. An empty value is a deletion."""

    value: bytes
    revision: int


class _BucketMessage(msgspec.Struct):
    seq: int
    data: str = ""
    hdrs: str = ""


class _BucketAnswer(msgspec.Struct):
    message: _BucketMessage | None = None
    error: ApiError | None = None


_got = msgspec.json.Decoder(_BucketAnswer)


async def last_value(wire: Wire, bucket: str, key: str) -> Revised | None:
    """Return the value under a key of a bucket, from the leader; None if there is none. Raises StoreError."""
    request = msgspec.json.encode({"last_by_subj": f"$KV.{bucket}.{key}"})
    got = _got.decode(await wire.request(f"$JS.API.STREAM.MSG.GET.KV_{bucket}", request))
    if got.error is not None and got.error.err_code != NO_MESSAGE:
        raise to_error(got.error, key=key, expected=None, stream=f"KV_{bucket}")
    if got.message is None:
        return None
    deleted = _OPERATION in b64decode(got.message.hdrs)
    return Revised(b"" if deleted else b64decode(got.message.data), got.message.seq)


async def put_value(wire: Wire, bucket: str, key: str, value: bytes) -> int:
    """Write a key of a bucket, whatever it holds, and return the revision. Raises StoreError."""
    found = decode_ack(await wire.request(f"$KV.{bucket}.{key}", value), key, None)
    if isinstance(found, int):
        return found
    raise found


class WireBucket:
    """A bucket whose values are changed by compare-and-set. Its calls wait through an outage."""

    def __init__(self, wire: Wire, bucket: str) -> None:
        self._wire = wire
        self._bucket = bucket

    async def last(self, key: str) -> Revised | None:
        """Return the value under a key, from the leader; None if there is none. Raises StoreError."""
        while True:
            try:
                return await last_value(self._wire, self._bucket, key)
            except (Unavailable, Ambiguous):
                await self._until_back()

    async def put(self, key: str, value: bytes, expected: int, headers: Mapping[str, str] | None = None) -> int:
        """Write by compare-and-set, and return the revision. Raises Conflict, StoreError.

        A write that finds its own value in its place was made by its first try. So let no two writers have equal ones.
        """
        block = header_block({_EXPECTED: str(expected), **(headers or {})})
        while True:
            try:
                answer = await self._wire.request(f"$KV.{self._bucket}.{key}", value, headers=block)
                found = decode_ack(answer, key, expected)
            except (Unavailable, Ambiguous) as error:
                found = error
            if isinstance(found, int):
                return found
            if isinstance(found, Conflict):
                now = await self.last(key)  # this write may have arrived at its first try
                if now is not None and now.value == value:
                    return now.revision
            if not isinstance(found, Unavailable | Ambiguous):
                raise found
            await self._until_back()

    async def _until_back(self) -> None:
        await self._wire.sleep(AGAIN)
        await self._wire.until_connected()
