"""Listings: the lines, pages and histories that the repository returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from sagakit.engine import Record, SagaStatus
from sagakit.engine.events import CloudEvent
from sagakit.engine.replay import Replayed, replay
from sagakit.store.names import SagaKey


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
    starts_at: float | None = None
    """Seconds from the epoch to the beginning of a saga that waits for its start; None once it has begun."""
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
    """A part of a listing, the saga that was written last comes first.

        page = await runtime.list(limit=100)
        while page.cursor is not None:
            page = await runtime.list(limit=100, cursor=page.cursor)

    A page reads a bounded number of records. So a page of a filter that few sagas fit may have fewer items than its
    limit, even none, and a cursor: the listing ends when `cursor` is None. A saga that is written while pages are
    turned moves to the front: the pages may show it twice, or not at all. Without a `limit` there is one page, which
    has every saga that fits the whole time.
    """

    items: Sequence[SagaInfo]
    """The sagas of this page."""
    cursor: str | None = None
    """Argument for the call that returns the next page; None after the last page."""
    unreadable: Sequence[UnreadableRecord] = ()
    """Keys of this page whose records cannot be read. They may or may not match."""
    read: int = 0
    """Number of stored values that were read for this page."""
    as_of: float = 0.0
    """Seconds from the epoch to the reading: the page may lack what was written later.

    On a cluster a replica that lags behind may have answered."""


class History(msgspec.Struct, frozen=True):
    """The record of one saga, and the events of its run, in order, up to the last one that the record knows."""

    record: Record
    events: Sequence[CloudEvent]

    def replay(self) -> Iterator[Replayed]:
        """Yield the states of the saga, event by event, folded from the events alone.

            history = await runtime.history(PlaceOrder, "order-7")
            for event, record in history.replay():
                print(event.time, event.type, record.status)

        Events tell the ends of attempts: an attempt shows once it has ended. If the first events are gone, the states
        lack what these told.
        """
        return replay(self.events)


class Records(NamedTuple):
    """A page as records, for the tools of operators. See `Page`."""

    records: Sequence[Record]
    unreadable: Sequence[UnreadableRecord] = ()
    cursor: str | None = None
    read: int = 0
    as_of: float = 0.0

    def page(self) -> Page:
        """Return the page with one line for each record."""
        items = [info_of(record) for record in self.records]
        return Page(items, self.cursor, self.unreadable, self.read, self.as_of)


def info_of(record: Record) -> SagaInfo:
    """Return the line of a record."""
    return SagaInfo(
        saga_type=record.saga_type,
        saga_id=record.saga_id,
        status=record.status,
        version=record.definition_version,
        owner=record.owner,
        created_at=record.created_at,
        updated_at=record.updated_at,
        starts_at=record.starts_at,
        stuck=record.stuck,
        attributes=record.attributes,
    )
