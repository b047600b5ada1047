"""Closed-loop load: so many clients, each of which starts its next saga when its last one has ended."""

from __future__ import annotations

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
