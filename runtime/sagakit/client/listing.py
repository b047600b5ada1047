"""Listings: which sagas there are, by what a caller looks for."""

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
from sagakit.store.names import SagaKey
from sagakit.store.ports import Entry, KeyValue, Store
from sagakit.system.io.persistence import read
from sagakit.times import Moment, epoch_seconds

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

    @property
    def id(self) -> str:
        """The id that the saga was started with: the same as `saga_id`."""
        return self.saga_id

    @property
    def key(self) -> str:
        """The saga's key: its type and its id, encoded."""
        return str(SagaKey(self.saga_type, self.saga_id))


class UnreadableRecord(msgspec.Struct, frozen=True):
    """A key under which there is no record that this version can read, and what stands there."""

    key: str
    reason: str


class Page(msgspec.Struct, frozen=True):
    """Some lines of a listing. `cursor` asks for those that follow; None: there are none.

    `unreadable` are the keys on the way that are not listed: whether they fit what is looked for cannot be known.
    """

    items: Sequence[SagaInfo]
    cursor: str | None = None
    unreadable: Sequence[UnreadableRecord] = ()


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


def wanted_of(
    *,
    status: SagaStatus | None,
    attributes: Mapping[str, str] | None,
    created_after: Moment | None,
    created_before: Moment | None,
) -> Wanted:
    """Return what a caller looks for, checked. Raises InvalidInput."""
    if status is not None and status not in get_args(SagaStatus):
        raise InvalidInput(f"status={status!r}: one of {', '.join(get_args(SagaStatus))}, or None for all")
    after, before = _seconds("created_after", created_after), _seconds("created_before", created_before)
    if after is not None and before is not None and after > before:
        raise InvalidInput(
            f"created_after={created_after!r} is later than created_before={created_before!r}: no saga lies between; "
            "exchange them"
        )
    return Wanted(status=status, attributes=_texts(attributes), created_after=after, created_before=before)


def _texts(attributes: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the attributes that are looked for. `start` takes texts alone, so that nothing else is ever found."""
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
    """Refuse what says nothing of a page of this type, or of all types. Raises InvalidInput."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidInput(f"limit={limit!r}: at least 1, a whole number, or None for all of them")
    if cursor is None:
        return
    of = type_of_key(cursor) if isinstance(cursor, str) else None
    if of is None:
        raise InvalidInput(f"cursor={cursor!r}: write the `cursor` of the page before, or None to begin")
    if saga_type not in (None, of):
        raise InvalidInput(
            f"cursor={cursor!r} is of a listing of other types than {saga_type}: use it with the filters that its page "
            "was asked for with, or None to begin"
        )


class _Found:
    """The lines found so far, one for each key: of the record that fits first."""

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
    """Return the next `limit` sagas after `cursor`, by key; all of them in one pass where there is no limit.

    Raises Unavailable, Ambiguous.
    """
    # A saga that has ended stands in the state bucket until it is archived: looked at first, it cannot slip through.
    buckets = (store.state, store.archive) if wanted.status in ENDS else (store.state,)
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
        if refused:  # one is enough to say so, and a group is nothing that callers look for
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
