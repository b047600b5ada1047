"""The events of one saga, read from the log that all sagas of its type share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from math import inf

from sagakit.engine import Record
from sagakit.engine.carried import payload_of
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.store.names import SagaKey
from sagakit.store.ports import StoreReading, StreamReading

SLACKS = (60.0, 86400.0, inf)
"""Seconds before the start of a saga at which a search begins. The next one is tried if the first event is not found.

The record's start may be later than the log's time of its first event: the servers of a cluster have different clocks,
and an older version of sagakit wrote the wall clock of its worker.
"""


async def events_of(reading: StoreReading, record: Record) -> Sequence[CloudEvent]:
    """Return the events of the record's run, in order, each once. Raises StoreError.

    The record knows where most of its events are in the log, and it contains those that are not published yet. An
    older record does not know it, and one with many events knows it of the last ones: then the log is searched.
    """
    key = str(SagaKey(record.saga_type, record.saga_id))
    log, pattern = reading.events[reading.names.shard_of(key)], reading.names.event_subject(key, record.saga_type, ">")
    events = _EventsOfRun(record)
    located = [one.value for one in await log.get_at(record.logged)]
    events.add(located)
    if events.all_located(located):
        return events.in_order
    if not events.complete and len(record.logged) > 1:
        await _search(log, pattern, events, after=record.logged[0], upto=record.logged[-1])
    began = min(record.created_at, await reading.now())
    for slack in SLACKS:
        if events.complete:
            break
        await _search(log, pattern, events, since=max(0.0, began - slack))
        if events.begins:
            break
    return events.in_order


async def last_events_of(reading: StoreReading, record: Record) -> Sequence[CloudEvent]:
    """Return the events whose places the record knows, in order: the first one and the last hundred. Scans nothing."""
    key = str(SagaKey(record.saga_type, record.saga_id))
    events = _EventsOfRun(record)
    events.add(one.value for one in await reading.events[reading.names.shard_of(key)].get_at(record.logged))
    return events.in_order


async def _search(
    log: StreamReading, pattern: str, events: _EventsOfRun, *, after: int = 0, since: float = 0.0, upto: float = inf
) -> None:
    async with aclosing(log.values([pattern], after=after, since=since)) as pages:
        async for page in pages:
            events.add(one.value for one in page)
            if page and page[-1].sequence >= upto:
                break


class _EventsOfRun:
    """The events of one run that were found so far, by number."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._found: dict[int, CloudEvent] = {}
        self.add(payload_of(record, waiting) for waiting in record.outbox)

    def add(self, payloads: Iterable[bytes]) -> None:
        for event in map(decode_event, payloads):
            if event is not None and event.run == self._record.run:
                self._found.setdefault(event.sequence, event)

    def all_located(self, payloads: Sequence[bytes]) -> bool:
        """Return True if the record knew the places of all its events, and none of them has another event now.

        Then what was not found is gone.
        """
        record = self._record
        knows_all = len(record.logged) + len(record.outbox) >= record.next_event - 1
        return knows_all and all(event is not None and event.run == record.run for event in map(decode_event, payloads))

    @property
    def complete(self) -> bool:
        """True if each event that the record knows of was found."""
        return all(number in self._found for number in range(1, self._record.next_event))

    @property
    def begins(self) -> bool:
        """True if the first event was found: then nothing is further back in the log."""
        return 1 in self._found

    @property
    def in_order(self) -> Sequence[CloudEvent]:
        """The events by number."""
        return [self._found[number] for number in sorted(self._found)]
