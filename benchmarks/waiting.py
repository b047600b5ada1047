"""Waiting: what a saga that waits on a timer costs its worker, and whether all wake in their order."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
import trio
from sagakit import Ctx, Runtime, Saga, open_runtime, step, timer
from sagakit.jetstream.embedded import embedded_server

INFLIGHT = 500
WARM_UP = 2_000
SPACING = 0.001
"""Seconds between the due times of one saga and the next."""


class Figures(msgspec.Struct, kw_only=True):
    """One run. `late_ms`: from the due time to the step after the timer. `out_of_order`: sagas that woke after one that
    was due more than `tolerance_ms` later. (Steps that become ready at once run in no order: trio shuffles them.)"""

    waiting: int
    start_seconds: float
    rss_bytes_per_waiting_saga: float
    wake_seconds: float
    late_p50_ms: float
    late_p99_ms: float
    out_of_order: int
    tolerance_ms: float = 100.0


class Due(msgspec.Struct, frozen=True):
    """When to wake, in seconds since the epoch."""

    at: float


AWAKE: list[float] = []
"""Due times, in the order in which the sagas woke."""


def _awake(due: Due, ctx: Ctx) -> bool:
    AWAKE.append(due.at)
    return True


class Nap(Saga[Due]):
    """Waits, and then writes down that it woke."""

    def __init__(self) -> None:
        self.woken: list[tuple[float, float]] = []
        AWAKE.clear()

    sleep = timer(lambda due, ctx: datetime.fromtimestamp(due.at, UTC))

    @step(sleep, compensate=None, when=_awake)
    async def wake(self, due: Due, nothing: None, ctx: Ctx) -> None:
        self.woken.append((due.at, time.time()))


async def measure(*, sagas: int) -> Figures:
    """Start so many sagas, let them rest, weigh the process, and watch them wake."""
    nap = Nap()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            embedded_server(Path(folder), sync="relaxed") as url,
            open_runtime(url, sagas=[nap], rest_after=0.2, max_active=2 * INFLIGHT) as runtime,
        ):
            far = time.time() + 10 * 86400
            await _start(runtime, [far] * WARM_UP)  # so that what the first ones cost counts for nobody
            before = await _rss_at_rest(runtime, WARM_UP)
            began = time.time()
            first_due = began + sagas / 1500 + 30
            await _start(runtime, [first_due + number * SPACING for number in range(sagas)])
            start_seconds = time.time() - began
            after = await _rss_at_rest(runtime, WARM_UP + sagas)
            assert time.time() < first_due, "starting took longer than the sagas sleep: start fewer"
            while len(nap.woken) < sagas:  # noqa: ASYNC110  # so as not to be in the way
                await trio.sleep(0.1)
            wake_seconds = time.time() - first_due
    late = sorted(woke - due for due, woke in nap.woken)
    assert late[0] >= 0, "one woke too early"
    figures = Figures(
        waiting=sagas,
        start_seconds=start_seconds,
        rss_bytes_per_waiting_saga=(after - before) / sagas,
        wake_seconds=wake_seconds,
        late_p50_ms=late[len(late) // 2] * 1000,
        late_p99_ms=late[len(late) * 99 // 100] * 1000,
        out_of_order=0,
    )
    figures.out_of_order = _out_of_order(AWAKE, figures.tolerance_ms / 1000)
    return figures


def _out_of_order(dues: list[float], tolerance: float) -> int:
    """How many came after one that was due later by more than the tolerance."""
    latest, found = 0.0, 0
    for due in dues:
        found += due < latest - tolerance
        latest = max(latest, due)
    return found


async def _start(runtime: Runtime, dues: list[float]) -> None:
    left = iter(dues)

    async def client() -> None:
        for at in left:
            await runtime.start(Nap, None, Due(at))

    async with trio.open_nursery() as nursery:
        for _ in range(INFLIGHT):
            nursery.start_soon(client)


async def _rss_at_rest(runtime: Runtime, sagas: int) -> int:
    while runtime.resting < sagas:  # noqa: ASYNC110  # as above
        await trio.sleep(0.05)
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)
