"""Copies: sagas of another store, stored here to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from sagakit.engine import Record, encode, event_id, stamped
from sagakit.engine.events import CloudEvent
from sagakit.errors import Conflict, StoreError
from sagakit.store.names import SagaKey
from sagakit.store.ports import EventMessage, Store


async def store_copy(store: Store, record: Record, events: Sequence[CloudEvent]) -> bool:
    """Store the record and its events; return False if something is stored under its key. Raises StoreError."""
    key = str(SagaKey(record.saga_type, record.saga_id))
    if await store.archive.get(key) is not None:
        return False
    try:
        await store.state.create(key, encode(stamped(record, write=f"import:{record.next_event}")))
    except Conflict:
        return False
    for event in events:
        subject = store.names.event_subject(key, record.saga_type, event.type.split(".", 2)[-1])
        await _append(
            store, EventMessage(key, subject, event_id(event.run, event.sequence), msgspec.json.encode(event))
        )
    return True


async def _append(store: Store, message: EventMessage) -> None:
    appended = trio.Event()
    results: list[int | StoreError] = []

    def done(result: int | StoreError) -> None:
        results.append(result)
        appended.set()

    store.events.submit(message, done)
    await appended.wait()
    if isinstance(results[0], StoreError):
        raise results[0]
