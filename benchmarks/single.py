"""Single sagas, one at a time, against the four acknowledged writes that a saga needs, made by raw nats-py."""

from __future__ import annotations

import time
from functools import partial

import trio
from sagakit import Completed, Runtime, Saga, open_runtime

from benchmarks.limits import limits
from benchmarks.load import retired
from benchmarks.modes import Mode, group_commit, sync_of
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import servers
from benchmarks.workload import Job, saga_of

ROUNDS = 10
"""Number of turns that sagas and writes take, so that a slow moment affects both."""

BENCH = Bench(
    "single",
    {
        "p50_ms": "from `start` to outcome of one saga of three steps, nothing else going on, median",
        "p99_ms": "the same, 99th percentile",
        "writes_p50_ms": "four sequential acknowledged writes of 700 bytes, raw nats-py on asyncio, median",
        "writes_p99_ms": "the same, 99th percentile",
        "ratio_to_writes": "p50_ms over writes_p50_ms",
        "sagas_per_s": "sagas one after the other, a second",
        "cpu_us_per_saga": "CPU of the worker process, microseconds a saga",
        "server_cpu_us_per_saga": "CPU of all servers while sagas ran, microseconds a saga",
    },
    "events, archive entry and end marker of a saga are written during the four writes and after its "
    "outcome is known; those of the previous saga take their share of the server.",
)


def cases(sagas: int, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return one case for each durability; those with fsync get half of the sagas."""
    return [
        Case({"sync": sync}, partial(measure, sagas if sync == "relaxed" else max(ROUNDS, sagas // 2), sync))
        for sync in syncs
    ]


async def measure(sagas: int, sync: Mode) -> Figures:
    """Run once on a fresh server."""
    saga = saga_of(3)
    times: list[float] = []
    writes: list[float] = []
    cpu = server_cpu = 0.0
    block = max(1, sagas // ROUNDS)
    with servers(sync=sync_of(sync)) as running, limits() as limit:
        async with open_runtime(running.url, sagas=[saga], group_commit=group_commit(sync)) as runtime:
            await _one_by_one(runtime, saga, block)  # warm up
            for _ in range(ROUNDS):
                began, server_began = time.process_time(), running.cpu()
                times += await _one_by_one(runtime, saga, block)
                await retired(runtime)
                cpu += time.process_time() - began
                server_cpu += running.cpu() - server_began
                writes += await trio.to_thread.run_sync(limit.writes, running.url, block)
    return _figures(sorted(times), sorted(writes), cpu, server_cpu)


async def _one_by_one(runtime: Runtime, saga: Saga[object, object], count: int) -> list[float]:
    times: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        outcome = await runtime.execute(type(saga), None, Job(number))
        times.append(time.perf_counter() - began)
        assert isinstance(outcome, Completed), outcome
    return times


def _figures(times: list[float], writes: list[float], cpu: float, server_cpu: float) -> Figures:
    return {
        "p50_ms": quantile(times, 0.5) * 1000,
        "p99_ms": quantile(times, 0.99) * 1000,
        "writes_p50_ms": quantile(writes, 0.5) * 1000,
        "writes_p99_ms": quantile(writes, 0.99) * 1000,
        "ratio_to_writes": quantile(times, 0.5) / quantile(writes, 0.5),
        "sagas_per_s": len(times) / sum(times),
        "cpu_us_per_saga": cpu / len(times) * 1e6,
        "server_cpu_us_per_saga": server_cpu / len(times) * 1e6,
    }
