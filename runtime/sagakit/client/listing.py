"""Listings: which sagas there are, by what a caller looks for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import msgspec
import trio

from sagakit.engine import Loaded, Record, SagaStatus, decode
from sagakit.engine.events import CloudEvent
from sagakit.errors import StoreError, Undecodable
from sagakit.store.ports import Entry, KeyValue, Store
from sagakit.system.persistence import read

AT_ONCE = 64
"""Records that are read at once for one page."""


class SagaInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a listing. Times are seconds since the epoch."""

    saga_type: str
    saga_id: str
    status: SagaStatus
    version: int
    owner: str
    created_at: float
    updated_at: float
    stuck: str | None = None
    attributes: dict[str, str] = {}


class Unreadable(msgspec.Struct, frozen=True):
    """A key under which there is no record that this version can read, and what stands there."""

    key: str
    reason: str


class Page(msgspec.Struct, frozen=True):
    """Some lines of a listing. `cursor` asks for those that follow; None: there are none.

    `unreadable` are the keys on the way that are not listed: whether they fit what is looked for cannot be known.
    """

    items: Sequence[SagaInfo]
    cursor: str | None = None
    unreadable: Sequence[Unreadable] = ()


class History(msgspec.Struct, frozen=True):
    """What is known of one saga. `events` are those of the record's run, in order, up to the record's last one."""

    record: Record
    events: Sequence[CloudEvent]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; None is anything. Times are seconds since the epoch."""

    status: SagaStatus | None = None
    attributes: Mapping[str, str] = {}
    created_after: float | None = None
    created_before: float | None = None

    def fits(self, record: Record) -> bool:
        """Whether the record is one of those."""
        return (
            self.status in (None, record.status)
            and all(record.attributes.get(name) == value for name, value in self.attributes.items())
            and (self.created_after is None or record.created_at >= self.created_after)
            and (self.created_before is None or record.created_at < self.created_before)
        )


async def page_of(
    store: Store, bucket: KeyValue, types: Sequence[str], wanted: Wanted, *, limit: int | None, cursor: str | None
) -> Page:
    """The next `limit` sagas after `cursor`, by key; all of them in one pass where there is no limit.

    Raises Unavailable, Ambiguous.
    """
    found: list[SagaInfo] = []
    unreadable: list[Unreadable] = []
    if limit is None:
        for saga_type in types:
            async with bucket.entries(saga_type) as entries:
                async for entry in entries:
                    if cursor is None or entry.key > cursor:
                        _add(found, unreadable, entry, wanted)
        return Page(sorted(found, key=lambda info: info.created_at), None, unreadable)
    keys = sorted({key for saga_type in types for key in await bucket.keys(saga_type)})
    async with aclosing(_in_order(store, bucket, [key for key in keys if cursor is None or key > cursor])) as entries:
        async for key, one in entries:
            if one is not None:
                _add(found, unreadable, one, wanted)
            if len(found) == limit:
                return Page(found, key if key != keys[-1] else None, unreadable)
    return Page(found, None, unreadable)


async def _in_order(store: Store, bucket: KeyValue, keys: Sequence[str]) -> AsyncGenerator[tuple[str, Entry | None]]:
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        entries: dict[str, Entry | None] = {}
        refused: list[StoreError] = []
        async with trio.open_nursery() as nursery:
            for key in some:
                nursery.start_soon(_get, store, bucket, key, entries, refused)
        if refused:  # one is enough to say so, and a group is nothing that callers look for
            raise refused[0]
        for key in some:
            yield key, entries[key]


async def _get(
    store: Store, bucket: KeyValue, key: str, into: dict[str, Entry | None], refused: list[StoreError]
) -> None:
    try:
        into[key] = await read(store, bucket, key)
    except StoreError as error:
        refused.append(error)


def _add(found: list[SagaInfo], unreadable: list[Unreadable], entry: Entry, wanted: Wanted) -> None:
    try:
        loaded = decode(entry.key, entry.value)
    except Undecodable as error:
        unreadable.append(Unreadable(entry.key, error.found))
        return
    if isinstance(loaded, Loaded) and wanted.fits(loaded.record):
        record = loaded.record
        found.append(
            SagaInfo(
                saga_type=record.saga_type,
                saga_id=record.saga_id,
                status=record.status,
                version=record.definition_version,
                owner=record.owner,
                created_at=record.created_at,
                updated_at=record.updated_at,
                stuck=record.stuck,
                attributes=record.attributes,
            )
        )
