"""Looking at stored sagas: pages, the stuck, counts and histories, with many live and many archived sagas.

The records and events are written by raw publishes, so that a million of them takes a minute. The reading goes the way
of every runtime and tool: `SagaRepository` over a link.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
import trio
from sagakit.engine import Record, SagaStatus, encode
from sagakit.engine.carried import payload_of
from sagakit.engine.events import make_event
from sagakit.engine.record import NOTHING, PersistedSagaState, SagaOutcome, StepLog
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.repository import SagaRepository, Wanted
from sagakit.repository.index import FRESH
from sagakit.store.names import Names
from sagakit.store.ports import EventMessage, Write

from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import Servers, servers

T = TypeVar("T")
WORKER = "bench-1"
STUCK_OF = 20
"""Number of live sagas of which a single one is stuck."""
EVENTS = 5
"""Events of each saga of which there are events."""
TIMES = 20
"""Number of times that each short look is taken; the median counts."""
SUFFIXES = ("started", "step.reserve", "step.charge", "step.ship", "completed")
SMALL = 1_000
"""Live sagas up to which nobody waits until they are old: a test that sees the benchmark run has no time."""
AT_ONCE = 4_000
"""Messages under way while the store is filled."""
PATIENCE = 120.0
"""Seconds that they may take."""

BENCH = Bench(
    "visibility",
    {
        "first_page_ms": "the first page of 50 live sagas, median",
        "next_page_ms": "the page after it, median",
        "ended_page_ms": "the first page of 50 completed sagas, median",
        "all_stuck_ms": "all stuck sagas, one live saga of 20, by their events",
        "all_stuck_cpu_ms": "CPU of this process meanwhile, which does not depend on what else runs",
        "all_stuck_server_cpu_ms": "CPU of the server meanwhile",
        "all_stuck_read_ms": "the same without the events: every live record is read",
        "groups_ms": "the stuck by type, step and error",
        "count_ms": "live and ended sagas by type and status, as told, median",
        "history_ms": "the history of one saga, whose record knows where its events are, median",
        "live": "live records",
        "archived": "records in the archive",
        "events": "events in the log",
        "record_bytes": "bytes of a live record",
    },
    "a network between client and server, several replicas, records of many steps, other clients at work.",
)


class Sizes(NamedTuple):
    """The number of live sagas, of archived ones, and of events."""

    live: int
    archived: int
    events: int


FULL = Sizes(100_000, 1_000_000, 1_000_000)
CURVE = (0.01, 0.1, 1.0)
"""The sizes of the curve, as parts of the largest."""
LEAST = 100
"""Live sagas, archived ones, and events, at the least."""


def cases(largest: Sizes) -> list[Case]:
    """Return one case for each size of the curve."""
    return [_case(Sizes(*(max(LEAST, int(size * part)) for size in largest))) for part in CURVE]


def _case(sizes: Sizes) -> Case:
    return Case({"live": sizes.live, "archived": sizes.archived}, partial(measure, sizes))


async def measure(sizes: Sizes) -> Figures:
    """Fill a fresh server, and look."""
    with servers(sync="relaxed") as running:
        # on a busy machine some thousands of messages may take longer than the default says
        async with open_jetstream(Connection(servers=(running.url,), ack_timeout=PATIENCE), names=Names()) as store:
            known = await _fill(store, sizes)
            return await _look(store, sizes, known, running)


# ------------------------------------------------------------------------------- filling


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


async def _fill(store: JetStreamStore, sizes: Sizes) -> Record:
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


async def _lease(store: JetStreamStore, sizes: Sizes, *, backlog: float | None) -> None:
    stuck = _stuck_of(sizes)
    counts = {"PlaceOrder": {"running": sizes.live - stuck, "stuck": stuck}}
    lease = {"worker": WORKER, "definitions": {"PlaceOrder": [1]}, "counts": counts, "backlog": backlog}
    await store.workers.put(WORKER, msgspec.json.encode(lease))


def _stuck_of(sizes: Sizes) -> int:
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


# ------------------------------------------------------------------------------- looking


async def _look(store: JetStreamStore, sizes: Sizes, known: Record, running: Servers) -> Figures:
    repository = SagaRepository(store.reading)
    live, stuck, ended = Wanted(), Wanted(status="stuck"), Wanted(status="completed", ended=True)
    number = _stuck_of(sizes)
    await _lease(store, sizes, backlog=None)  # as of an older release: then the events do not count
    read, found = await _timed(lambda: repository.list(stuck))
    assert len(found.items) == number, f"{len(found.items)} of {number} were found"
    await _lease(store, sizes, backlog=0.0)
    here, there = time.process_time(), running.cpu()
    by_events, found = await _timed(lambda: repository.list(stuck))
    assert len(found.items) == number, f"{len(found.items)} of {number} were found"
    here, there = time.process_time() - here, running.cpu() - there
    groups, found_groups = await _timed(lambda: repository.groups(live))
    grouped = sum(group.count for group in found_groups)
    assert grouped == number
    first = await repository.list(live, limit=50)
    history = await repository.history(known)
    assert len(history.events) == EVENTS, "the record knows where its events are"
    return {
        "first_page_ms": await _median(lambda: repository.list(live, limit=50)),
        "next_page_ms": await _median(lambda: repository.list(live, limit=50, cursor=first.cursor)),
        "ended_page_ms": await _median(lambda: repository.list(ended, limit=50)),
        "all_stuck_ms": by_events,
        "all_stuck_cpu_ms": 1e3 * here,
        "all_stuck_server_cpu_ms": 1e3 * there,
        "all_stuck_read_ms": read,
        "groups_ms": groups,
        "count_ms": await _median(lambda: repository.count(Wanted(ended=True))),
        "history_ms": await _median(lambda: repository.history(known)),
        "live": sizes.live,
        "archived": sizes.archived,
        "events": sizes.events,
        "record_bytes": len(encode(known)),
    }


async def _timed(look: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    """Return the milliseconds that a look takes, and what it returns."""
    began = time.perf_counter()
    found = await look()
    return 1000 * (time.perf_counter() - began), found


async def _median(look: Callable[[], Awaitable[object]]) -> float:
    return quantile(sorted([(await _timed(look))[0] for _ in range(TIMES)]), 0.5)
