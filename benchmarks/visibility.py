"""Looking at stored sagas: pages, the stuck, counts and histories, with many live and many archived sagas.

The reading goes the way of every runtime and tool: `SagaRepository` over a link.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from sagakit.engine import Record, encode
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.repository import SagaRepository, Wanted
from sagakit.store.names import Names

from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import Servers, servers
from benchmarks.stored import EVENTS, PATIENCE, Sizes, fill, put_lease, stuck_of

T = TypeVar("T")
TIMES = 20
"""Number of times that each short look is taken; the median counts."""

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
        async with open_jetstream(Connection(servers=(running.url,), ack_timeout=PATIENCE), names=Names()) as store:
            known = await fill(store, sizes)
            return await _look(store, sizes, known, running)


async def _look(store: JetStreamStore, sizes: Sizes, known: Record, running: Servers) -> Figures:
    repository = SagaRepository(store.reading)
    live, stuck, ended = Wanted(), Wanted(status="stuck"), Wanted(status="completed", ended=True)
    number = stuck_of(sizes)
    await put_lease(store, sizes, backlog=None)  # as of an older release: then the events do not count
    read, found = await _timed(lambda: repository.list(stuck))
    assert len(found.items) == number, f"{len(found.items)} of {number} were found"
    await put_lease(store, sizes, backlog=0.0)
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
