"""Load. Closed loop: so many clients, each of which starts its next saga when its last one has ended.

Open loop: sagas start at their intended times, even if earlier ones have not ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

import trio
from sagakit import Completed, Runtime, Saga

from benchmarks.workload import Job

RETIRED_WITHIN = 120.0
"""Seconds within which every saga must be in the archive once its client has its outcome."""


async def closed(
    runtime: Runtime, saga: Saga[Any, Any], sagas: int, *, inflight: int, ends: type = Completed
) -> list[float]:
    """Run so many sagas; return the sorted seconds from start to end of each. Each must end as `ends`."""
    times: list[float] = []
    left = iter(range(sagas))

    async def client() -> None:
        for number in left:
            began = time.perf_counter()
            outcome = await runtime.execute(type(saga), None, Job(number))
            times.append(time.perf_counter() - began)
            assert isinstance(outcome, ends), outcome

    async with trio.open_nursery() as nursery:
        for _ in range(min(inflight, sagas)):
            nursery.start_soon(client)
    times.sort()
    return times


async def retired(runtime: Runtime) -> None:
    """Return when no saga is active: all are archived, or passivated. Polls rarely, to cost nothing."""
    with trio.fail_after(RETIRED_WITHIN):
        while await runtime.list_active():  # noqa: ASYNC110  # polls rarely, to cost nothing
            await trio.sleep(0.01)


async def start_all(runtime: Runtime, saga: type[Saga[Any, Any]], inputs: Iterable[Any], *, inflight: int) -> None:
    """Start one saga for each input, and wait for none of them."""
    left = iter(inputs)

    async def client() -> None:
        for one in left:
            await runtime.start(saga, None, one)

    async with trio.open_nursery() as nursery:
        for _ in range(inflight):
            nursery.start_soon(client)


class OpenLoop:
    """An open loop of random arrivals, which are the same each time: the latencies, and how late each start was."""

    def __init__(self, runtime: Runtime, saga: Saga[object, object], rate: float, seconds: float) -> None:
        self._runtime = runtime
        self._saga = saga
        dice = random.Random(1)
        at, self._due = 0.0, list[float]()
        while (at := at + dice.expovariate(rate)) < seconds or not self._due:
            self._due.append(at)
        self.times: list[float] = []
        self.late: list[float] = []

    async def run(self) -> None:
        """Start sagas when they are due, until all have ended."""
        zero, began = trio.current_time(), time.perf_counter()
        async with trio.open_nursery() as nursery:
            for number, due in enumerate(self._due):
                if trio.current_time() < zero + due:
                    await trio.sleep_until(zero + due)
                self.late.append(time.perf_counter() - began - due)
                nursery.start_soon(self._one, number, began + due)

    async def _one(self, number: int, intended: float) -> None:
        outcome = await self._runtime.execute(type(self._saga), None, Job(number))
        self.times.append(time.perf_counter() - intended)
        assert isinstance(outcome, Completed), outcome
