"""The events of one saga, read from the log that all sagas of its type share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeAlias

from sagakit.engine import Record
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store

ReadSince: TypeAlias = Callable[[float], Awaitable[list[bytes]]]
"""A function that returns the events of a saga's type that were stored since a time, in seconds since the epoch."""

SLACKS = (60.0, 86400.0, inf)
"""Seconds before the start of a saga at which reading begins. The next one is tried if the first event is not found.

The record's start may be later than the log's time of its first event: the servers of a cluster have different clocks,
and an older version of sagakit wrote the wall clock of its worker.
"""


async def events_of(store: Store, record: Record) -> list[CloudEvent]:
    """Return the events of the record's run, in order, each once. Raises Unavailable, Ambiguous."""
    key = str(SagaKey(record.saga_type, record.saga_id))

    async def read(since: float) -> list[bytes]:
        return await store.events.read(key, record.saga_type, since=since)

    return await events_by(read, record, now=store.clock.now())


async def events_by(read: ReadSince, record: Record, *, now: float) -> list[CloudEvent]:
    """Return the events of the record's run, in order, each once. `now` is the server's time. Raises what `read` does.

    Events that are not published yet are taken from the record.
    """
    began = min(record.created_at, now)
    found: list[CloudEvent] = []
    for slack in SLACKS:
        since = max(0.0, began - slack)
        payloads = await read(since) + [bytes(waiting.event) for waiting in record.outbox]
        events = (event for event in map(decode_event, payloads) if event is not None)
        once = {event.sequence: event for event in events if event.run == record.run}
        found = [once[sequence] for sequence in sorted(once)]
        if not since or _begins(found, record):
            break
    return found


def _begins(found: list[CloudEvent], record: Record) -> bool:
    """Return True if the first event was found, or is not published yet and so cannot be further back in the log."""
    if found:
        return found[0].sequence == 1
    return bool(record.outbox) and record.outbox[0].seq == 1
