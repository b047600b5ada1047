"""Listings: the sagas that match what a caller looks for, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import get_args

import msgspec
import trio

from sagakit.engine import ENDS, Loaded, Record, SagaStatus, decode
from sagakit.engine.events import CloudEvent
from sagakit.errors import InvalidInput, StoreError, Undecodable
from sagakit.naming import type_of_key
from sagakit.repository import EVERY, Filter, parse
from sagakit.store.names import SagaKey
from sagakit.store.ports import Entry, KeyValue, Store
from sagakit.system.io.persistence import read
from sagakit.times import Moment, epoch_seconds

AT_ONCE = 64
"""Number of records that are read at the same time for one page."""


class SagaInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a listing: one saga in short.

        for info in (await runtime.list(status="stuck")).items:
            print(info.saga_type, info.id, info.stuck)

    `describe` of a runtime returns all of one saga.
    """

    saga_type: str
    saga_id: str
    status: SagaStatus
    version: int
    """Version of the class that the saga runs under."""
    owner: str
    """Worker id of the owner."""
    created_at: float
    """Seconds from the epoch to its start."""
    updated_at: float
    """Seconds from the epoch to its last change."""
    stuck: str | None = None
    """Reason why the saga is stuck; None if it is not."""
    attributes: dict[str, str] = {}
    """The attributes that `start` was given."""

    @property
    def id(self) -> str:
        """The id that the saga was started with; the same as `saga_id`."""
        return self.saga_id

    @property
    def key(self) -> str:
        """The key of the saga's record: its type and its encoded id."""
        return str(SagaKey(self.saga_type, self.saga_id))


class UnreadableRecord(msgspec.Struct, frozen=True):
    """A key whose value this version of sagakit cannot read as a record."""

    key: str
    """The key in the bucket."""
    reason: str
    """Description of the value that was found there."""


class Page(msgspec.Struct, frozen=True):
    """A part of a listing.

        page = await runtime.list(limit=100)
        while page.cursor is not None:
            page = await runtime.list(limit=100, cursor=page.cursor)

    Without a `limit` there is one page.
    """

    items: Sequence[SagaInfo]
    """The sagas of this page."""
    cursor: str | None = None
    """Argument for the call that returns the next page; None after the last page."""
    unreadable: Sequence[UnreadableRecord] = ()
    """Keys of this page whose records cannot be read. They may or may not match."""


class History(msgspec.Struct, frozen=True):
    """The record of one saga, and the events of its run, in order, up to the last one that the record knows."""

    record: Record
    events: Sequence[CloudEvent]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A filter for sagas. None matches any saga. Times are seconds since the epoch."""

    status: SagaStatus | None = None
    attributes: Mapping[str, str] = {}
    created_after: float | None = None
    created_before: float | None = None
    where: Filter = EVERY

    @property
    def ended(self) -> bool:
        """True if sagas that have ended are wanted: a status says so."""
        return self.status in ENDS or self.where.names_ended

    def fits(self, record: Record) -> bool:
        """Return True if the record matches."""
        return (
            self.status in (None, record.status)
            and self.where.fits(record)
            and all(record.attributes.get(name) == value for name, value in self.attributes.items())
            and (self.created_after is None or record.created_at >= self.created_after)
            and (self.created_before is None or record.created_at < self.created_before)
        )


def wanted_of(
    *,
    status: SagaStatus | None,
    attributes: Mapping[str, str] | None,
    created_after: Moment | None,
    created_before: Moment | None,
    where: str | None,
    now: float,
) -> Wanted:
    """Return the filter that a caller describes. `now` is in seconds since the epoch. Raises InvalidInput."""
    if status is not None and status not in get_args(SagaStatus):
        raise InvalidInput(f"status={status!r}: one of {', '.join(get_args(SagaStatus))}, or None for all")
    after, before = _seconds("created_after", created_after), _seconds("created_before", created_before)
    if after is not None and before is not None and after > before:
        raise InvalidInput(
            f"created_after={created_after!r} is later than created_before={created_before!r}, so no saga can match: "
            "exchange them"
        )
    return Wanted(
        status=status,
        attributes=_texts(attributes),
        created_after=after,
        created_before=before,
        where=EVERY if where is None else parse(where, now=now),
    )


def _texts(attributes: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the attributes of the filter. `start` takes texts only, so anything else would never match."""
    if attributes is None:
        return {}
    if not isinstance(attributes, Mapping):
        raise InvalidInput(f"attributes={attributes!r}: a mapping of names to texts")
    for name, value in attributes.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInput(
                f"attributes={{{name!r}: {value!r}}}: names and values are texts, as those given to `start`: write "
                f"{{{str(name)!r}: {str(value)!r}}}"
            )
    return attributes


def _seconds(option: str, value: Moment | None) -> float | None:
    try:
        return None if value is None else epoch_seconds(value)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from None


def check_page(limit: int | None, cursor: str | None, saga_type: str | None) -> None:
    """Raise InvalidInput unless `limit` and `cursor` can describe a page of this type, or of all types."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidInput(f"limit={limit!r}: at least 1, a whole number, or None for all sagas")
    if cursor is None:
        return
    of = type_of_key(cursor) if isinstance(cursor, str) else None
    if of is None:
        raise InvalidInput(f"cursor={cursor!r}: write the `cursor` of the page before, or None to begin")
    if saga_type not in (None, of):
        raise InvalidInput(
            f"cursor={cursor!r} is of a listing of other types than {saga_type}: use it with the filters of its "
            "page, or None to begin"
        )


class _Found:
    """The lines found so far: one for each key, made of the first record under it that matches."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.items: dict[str, SagaInfo] = {}
        self.unreadable: dict[str, UnreadableRecord] = {}

    def add(self, entry: Entry) -> None:
        if entry.key in self.items:
            return
        try:
            loaded = decode(entry.key, entry.value)
        except Undecodable as error:
            self.unreadable.setdefault(entry.key, UnreadableRecord(entry.key, error.found))
            return
        if isinstance(loaded, Loaded) and self._wanted.fits(loaded.record):
            self.items[entry.key] = _info_of(loaded.record)

    def page(self, cursor: str | None = None, *, by_age: bool = False) -> Page:
        items = list(self.items.values())
        if by_age:
            items.sort(key=lambda info: info.created_at)
        return Page(items, cursor, list(self.unreadable.values()))


async def page_of(store: Store, types: Sequence[str], wanted: Wanted, *, limit: int | None, cursor: str | None) -> Page:
    """Return the next `limit` sagas after `cursor`, by key; without a limit, all of them in one pass.

    Raises Unavailable, Ambiguous.
    """
    # A saga that ends moves from the state bucket to the archive, and it is in both for a moment, never in neither. The
    # state bucket is read first, so a saga that moves meanwhile is found in at least one of them. `_Found` keeps one.
    buckets = (store.state, store.archive) if wanted.ended else (store.state,)
    found = _Found(wanted)
    if limit is None:
        for bucket in buckets:
            for saga_type in types:
                async with bucket.entries(saga_type) as entries:
                    async for entry in entries:
                        if cursor is None or entry.key > cursor:
                            found.add(entry)
        return found.page(by_age=True)
    live = {key for saga_type in types for key in await store.state.keys(saga_type)}
    keys = set(live)
    for bucket in buckets[1:]:
        keys.update([key for saga_type in types for key in await bucket.keys(saga_type)])
    asked = [(key, buckets if key in live else buckets[1:]) for key in sorted(keys) if cursor is None or key > cursor]
    async with aclosing(_in_order(store, asked)) as groups:
        async for key, some in groups:
            for entry in some:
                found.add(entry)
            if len(found.items) == limit:
                return found.page(key if key != asked[-1][0] else None)
    return found.page()


_Asked = tuple[str, Sequence[KeyValue]]
"""A key, and the buckets in which to look for it."""


async def _in_order(store: Store, asked: Sequence[_Asked]) -> AsyncGenerator[tuple[str, Sequence[Entry]]]:
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        entries: dict[str, list[Entry]] = {}
        refused: list[StoreError] = []
        async with trio.open_nursery() as nursery:
            for key, buckets in some:
                nursery.start_soon(_get, store, buckets, key, entries, refused)
        if refused:  # raise one of them: callers catch StoreError, and would miss an exception group
            raise refused[0]
        for key, _ in some:
            yield key, entries[key]


async def _get(
    store: Store, buckets: Sequence[KeyValue], key: str, into: dict[str, list[Entry]], refused: list[StoreError]
) -> None:
    try:
        into[key] = [entry for bucket in buckets if (entry := await read(store, bucket, key)) is not None]
    except StoreError as error:
        refused.append(error)


def _info_of(record: Record) -> SagaInfo:
    return SagaInfo(
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
