"""Stored records without a runtime: for tests of the repository."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import trio
from sagakit.engine import Record, SagaStatus, encode, encode_marker
from sagakit.engine.carried import payload_of
from sagakit.engine.events import make_event
from sagakit.engine.record import EndMarker, Failure, PersistedSagaState, SagaOutcome, StepLog
from sagakit.store import EventMessage, KeyValue, Store

WORKER = "worker-1"


def record(saga_id: str, status: SagaStatus = "running", *, saga_type: str = "Trip", error: str = "") -> Record:
    """Return a record; a stuck one is held at its step `pay`, with the error."""
    steps = {"pay": StepLog(state="blocked", error=error)} if status == "stuck" else {}
    ended = status in ("completed", "failed")
    failure = Failure("rejected", code="no") if status == "failed" else None
    return PersistedSagaState(
        schema=1, saga_type=saga_type, saga_id=saga_id, run=f"run-{saga_id}", definition_version=1, plan_digest="d",
        status=status, input=msgspec.Raw(b'"x"'), input_digest="i", created_at=1000.0, updated_at=1000.0, steps=steps,
        version=1, write="w.1", owner=WORKER, epoch=1, recoveries=0, next_event=1, failure=failure,
        stuck=f"pay: blocked, {error}" if status == "stuck" else None,
        outcome=SagaOutcome(status, 1000.0, failure=failure) if ended else None,  # type: ignore[arg-type]  # narrowed
    )  # fmt: skip


async def put(bucket: KeyValue, *records: Record) -> None:
    for one in records:
        await bucket.put(f"{one.saga_type}.{one.saga_id}", encode(one))


async def mark(bucket: KeyValue, one: Record) -> None:
    """Put the end marker of a record."""
    await bucket.put(f"{one.saga_type}.{one.saga_id}", encode_marker(EndMarker(1000.0, "completed", "i", one.run)))


async def publish(store: Store, suffix: str, records: Iterable[Record]) -> None:
    """Append the event of each record to the log."""
    for one in records:
        key = f"{one.saga_type}.{one.saga_id}"
        done = trio.Event()
        payload = payload_of(one, make_event(one, suffix, {}, now=1000.0))
        subject = store.names.event_subject(key, one.saga_type, suffix)
        store.events.submit(EventMessage(key, subject, f"{one.run}.{suffix}", payload), lambda _, done=done: done.set())  # type: ignore[misc]  # a default binds
        await done.wait()


async def lease(store: Store, *, worker: str = WORKER, **fields: object) -> None:
    """Write the lease of a worker."""
    value = {"worker": worker, "definitions": {"Trip": [1]}, "counts": {}, "backlog": 0.0} | fields
    await store.workers.put(worker, msgspec.json.encode(value))
