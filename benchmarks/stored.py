"""A store with many live and many archived sagas, and events of them, written by raw publishes in a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import trio
from sagakit.engine import Record, SagaStatus, encode
from sagakit.engine.carried import payload_of
from sagakit.engine.events import make_event
from sagakit.engine.record import NOTHING, PersistedSagaState, SagaOutcome, StepLog
from sagakit.jetstream.store import JetStreamStore
from sagakit.repository.index import FRESH
from sagakit.store.ports import EventMessage, Write

WORKER = "bench-1"
STUCK_OF = 20
"""Number of live sagas of which a single one is stuck."""
EVENTS = 5
"""Events of each saga of which there are events."""
SUFFIXES = ("started", "step.reserve", "step.charge", "step.ship", "completed")
SMALL = 1_000
"""Live sagas up to which nobody waits until they are old: a test that sees the benchmark run has no time."""
AT_ONCE = 4_000
"""Messages under way while the store is filled."""
PATIENCE = 120.0
"""Seconds that an acknowledgment may take: on a busy machine some thousands of messages take longer than usual."""


class Sizes(NamedTuple):
    """The number of live sagas, of archived ones, and of events."""

    live: int
    archived: int
    events: int


def _record(number: int, status: SagaStatus, now: float) -> Record:
    stuck = status == "stuck"
    log = StepLog(state="done", order=1, decided=True, calls=1, result=msgspec.Raw(b'{"reservation":"r-1"}'))
    held = StepLog(state="blocked", order=2, calls=3, attempt=3, error=f"ConnectionError('carrier: {number}')")
    return PersistedSagaState(
        schema=1, saga_type="PlaceOrder", saga_id=f"order-{number}", run=f"{number:032x}", definition_version=1,
        plan_digest="0123456789abcdef", status=status, input=msgspec.Raw(b'{"sku":"lamp","n":%d}' % number),
        input_digest="0123456789abcdef", created_at=now, updated_at=now, version=4, write=f"{WORKER}.{number}",
        steps={"reserve": log, "charge": log, "ship": held if stuck else StepLog(state="running", order=3, calls=1)},
        owner=WORKER, epoch=1, recoveries=0, next_event=EVENTS + 1, attributes={"region": "eu" if number % 2 else "us"},
        stuck=f"ship: blocked, ConnectionError('carrier: {number}')" if stuck else None,
        outcome=SagaOutcome("completed", now, NOTHING) if status == "completed" else None,
    )  # fmt: skip


async def fill(store: JetStreamStore, sizes: Sizes) -> Record:
    """Fill the store, and return a live record that knows where its events are."""
    now = store.clock.now()
    live = [_record(number, "running" if number % STUCK_OF else "stuck", now) for number in range(sizes.live)]
    stuck = [record for record in live if record.status == "stuck"]
    known, logged = live[1], list[int]()
    await _pour(partial(_append, store), _events([known], now, SUFFIXES), logged)
    await _pour(partial(_append, store), _events(stuck, now, ("stuck",)))
    others = max(0, sizes.events - len(stuck)) // EVENTS
    elsewhere = (_record(number, "running", now) for number in range(sizes.live, sizes.live + others))
    await _pour(partial(_append, store), _events(elsewhere, now, SUFFIXES))
    await _pour(partial(_put, store.state), live)
    ended = (_record(number, "completed", now) for number in range(sizes.live, sizes.live + sizes.archived))
    await _pour(partial(_put, store.archive), ended)
    await trio.sleep(FRESH + 1 if sizes.live > SMALL else 0)  # from then on no record is new
    return msgspec.structs.replace(known, logged=logged)


async def put_lease(store: JetStreamStore, sizes: Sizes, *, backlog: float | None) -> None:
    """Put the lease of the worker that owns the live sagas. `backlog` is None in those of older releases."""
    stuck = stuck_of(sizes)
    counts = {"PlaceOrder": {"running": sizes.live - stuck, "stuck": stuck}}
    lease = {"worker": WORKER, "definitions": {"PlaceOrder": [1]}, "counts": counts, "backlog": backlog}
    await store.workers.put(WORKER, msgspec.json.encode(lease))


def stuck_of(sizes: Sizes) -> int:
    """Return how many of the live sagas are stuck."""
    return -(-sizes.live // STUCK_OF)


def _events(records: Iterable[Record], now: float, suffixes: tuple[str, ...]) -> Iterable[tuple[str, str, str, bytes]]:
    """Yield key, suffix, id and bytes of the events of each record."""
    for record in records:
        key = f"{record.saga_type}.{record.saga_id}"
        for number, suffix in enumerate(suffixes, 1):
            event = make_event(msgspec.structs.replace(record, next_event=number), suffix, {}, now=now)
            yield key, suffix, f"{record.run}.{number}", payload_of(record, event)


def _append(store: JetStreamStore, event: tuple[str, str, str, bytes], done: Callable[[Any], None]) -> None:
    key, suffix, id, payload = event
    store.events.submit(EventMessage(key, store.names.event_subject(key, "PlaceOrder", suffix), id, payload), done)


def _put(bucket: Any, record: Record, done: Callable[[Any], None]) -> None:
    bucket.submit(Write(f"{record.saga_type}.{record.saga_id}", encode(record)), done)


async def _pour(
    submit: Callable[[Any, Callable[[Any], None]], None], items: Iterable[Any], sequences: list[int] | None = None
) -> None:
    """Submit all, some thousands at a time, and wait until they are acknowledged; keep their sequences if asked to."""
    left = iter(items)
    while some := list(islice(left, AT_ONCE)):
        acknowledged: list[int] = []
        ended = trio.Event()

        def done(
            result: Any, acked: list[int] = acknowledged, count: int = len(some), ended: trio.Event = ended
        ) -> None:
            assert isinstance(result, int), result
            acked.append(result)
            if len(acked) == count:
                ended.set()

        for item in some:
            submit(item, done)
        await ended.wait()
        if sequences is not None:
            sequences += acknowledged
