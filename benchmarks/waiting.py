"""Waiting sagas: the cost of a saga that waits on a timer, and whether all wake in their order."""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime
from functools import partial

import msgspec
import psutil
import trio
from sagakit import Context, Runtime, Saga, open_runtime, step, timer
from sagakit.jetstream.server_process import Sync

from benchmarks.limits import limits
from benchmarks.load import start_all
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import servers

INFLIGHT = 500
WARM_UP = 2_000
SPACING = 0.001
"""Seconds between the due times of one saga and the next."""
TOLERANCE = 0.1
"""Seconds by which one may wake after another that was due later. Steps that become ready at once run in no order."""
STARTS = {"relaxed": 1500.0, "always": 500.0}
"""Least sagas a second that are started; a busy machine starts fewer."""
PATIENCE = 30.0
"""Seconds from the moment when all should have been started to the first due time."""

BENCH = Bench(
    "waiting",
    {
        "rss_bytes_per_waiting_saga": "growth of the worker's resident memory, a saga",
        "waiting": "sagas that wait at once",
        "start_seconds": "to start them, 500 in flight",
        "start_ratio_to_floor": "messages sent for the starts, a second, over the floor",
        "start_cpu_us_per_saga": "CPU of the worker for a start and the passivation, microseconds",
        "wake_seconds": "from the first due time until all have woken",
        "late_p50_ms": "from the due time to the step after the timer, median",
        "late_p99_ms": "the same, 99th percentile",
        "out_of_order": "sagas that woke after one that was due more than 100 ms later",
        "floor_messages_per_s": "the floor on the same server, before",
    },
    "memory is the growth between the sagas passivated before and after, so allocator slack counts; the server's "
    "own memory and disk do not. When more are due than a worker can wake, they are late.",
)


class Due(msgspec.Struct, frozen=True):
    """The input: when to wake, in seconds since the epoch."""

    at: float


class Nap(Saga[Due]):
    """A saga that waits, and then notes that it woke."""

    def __init__(self) -> None:
        self.woken: list[tuple[float, float]] = []
        AWAKE.clear()

    sleep = timer(lambda due, ctx: datetime.fromtimestamp(due.at, UTC))

    @step(sleep, compensate=None, when=lambda due, ctx: _awake(due))
    async def wake(self, due: Due, nothing: None, ctx: Context) -> None:
        self.woken.append((due.at, time.time()))


AWAKE: list[float] = []
"""Due times, in the order in which the sagas woke."""


def _awake(due: Due) -> bool:
    AWAKE.append(due.at)
    return True


def cases(sizes: dict[Sync, tuple[int, ...]]) -> list[Case]:
    """Return a case for each durability and number of sagas."""
    return [
        Case({"sync": sync, "waiting": sagas}, partial(measure, sagas, sync))
        for sync, some in sizes.items()
        for sagas in some
    ]


async def measure(sagas: int, sync: Sync) -> Figures:
    """Start so many sagas, let them be passivated, weigh the process, and watch them wake."""
    nap = Nap()
    warm = min(WARM_UP, sagas)
    with servers(sync=sync) as running, limits() as limit:
        floor = limit.floor(running.url, 20_000 if sync == "relaxed" else 4_000).messages_per_s
        async with open_runtime(running.url, sagas=[nap], passivate_after=0.2, max_active=2 * INFLIGHT) as runtime:
            far = time.time() + 10 * 86400
            await _start(runtime, [far] * warm)  # so that the cost of the first ones is not counted
            before = await _rss_passivated(runtime, warm)
            began, cpu, sent = time.time(), time.process_time(), runtime.messages_sent
            patience = min(PATIENCE, 2 + sagas / 100)
            first_due = began + sagas / STARTS[sync] + patience
            await _start(runtime, [first_due + number * SPACING for number in range(sagas)])
            start_seconds, sent = time.time() - began, runtime.messages_sent - sent
            after = await _rss_passivated(runtime, warm + sagas)
            cpu = time.process_time() - cpu
            started = time.time()
            assert started < first_due, "starting took longer than the sagas sleep: start fewer"
            while len(nap.woken) < sagas:  # noqa: ASYNC110  # polls rarely, to cost nothing
                await trio.sleep(0.1)
            wake_seconds = time.time() - first_due
    late = sorted(woke - due for due, woke in nap.woken)
    assert late[0] >= 0, "one woke too early"
    return {
        "rss_bytes_per_waiting_saga": (after - before) / sagas,
        "waiting": float(sagas),
        "start_seconds": start_seconds,
        "start_ratio_to_floor": sent / start_seconds / floor,
        "start_cpu_us_per_saga": cpu / sagas * 1e6,
        "wake_seconds": wake_seconds,
        "late_p50_ms": quantile(late, 0.5) * 1000,
        "late_p99_ms": quantile(late, 0.99) * 1000,
        "out_of_order": float(_out_of_order(AWAKE)),
        "floor_messages_per_s": floor,
    }


def _out_of_order(dues: list[float]) -> int:
    """Return how many came after one that was due later by more than the tolerance."""
    latest, found = 0.0, 0
    for due in dues:
        found += due < latest - TOLERANCE
        latest = max(latest, due)
    return found


async def _start(runtime: Runtime, dues: list[float]) -> None:
    await start_all(runtime, Nap, map(Due, dues), inflight=INFLIGHT)


async def _rss_passivated(runtime: Runtime, sagas: int) -> int:
    while runtime.passivated < sagas:  # noqa: ASYNC110  # polls rarely, to cost nothing
        await trio.sleep(0.05)
    gc.collect()
    return int(psutil.Process().memory_info().rss)
