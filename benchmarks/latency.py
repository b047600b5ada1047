"""Latency in an open loop: sagas start at their intended times, even if earlier ones have not ended.

Latency counts from the intended time, so that the wait for a busy worker counts in full (no coordinated omission).
Arrivals are random (Poisson) with a fixed seed, as those of independent customers are.
"""

from __future__ import annotations

import time
from collections import defaultdict
from functools import partial
from itertools import pairwise

import msgspec
from sagakit import open_runtime

from benchmarks.limits import limits
from benchmarks.load import OpenLoop, closed, retired
from benchmarks.modes import Mode, group_commit, sync_of
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import servers
from benchmarks.workload import stamped

STEPS = 3
INFLIGHT = 500
LOADS = (10, 50, 80)
"""Percent of the capacity."""
SECONDS = 10.0
"""Seconds that the load lasts."""

BENCH = Bench(
    "latency",
    {
        "p50_ms": "from the intended start to the outcome of a saga of three steps, median",
        "p99_ms": "the same, 99th percentile",
        "p999_ms": "the same, 99.9th percentile",
        "step_p50_ms": "from one step's call to the next one's: one durable write and all around it, median",
        "step_p99_ms": "the same, 99th percentile",
        "step_p999_ms": "the same, 99.9th percentile",
        "p50_over_writes": "p50_ms over four sequential acknowledged writes of raw nats-py on the idle server",
        "writes_p50_ms": "those four writes, median",
        "sagas_per_s": "sagas that ended, a second of the load's time",
        "capacity_sagas_per_s": "sagas a second of this worker in a closed loop just before, 500 in flight",
        "late_p99_ms": "lateness of the load generator, 99th percentile; the latencies include it",
        "cpu_us_per_saga": "CPU of the process, load generator and all, microseconds a saga",
    },
    "load generator, worker and server share one machine; delays by other work on it count as latency.",
)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Options. `sagas` measure the capacity; each load lasts `seconds`, at `rate` sagas a second.

    With a rate of 0 it is `percent` of the capacity.
    """

    sagas: int = 5_000
    seconds: float = SECONDS
    percent: int = 50
    rate: float = 0.0
    sync: Mode = "relaxed"


def cases(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return a case for each durability and load. A rate is the only load."""
    found = []
    for sync in syncs:
        sagas = load.sagas if sync == "relaxed" else load.sagas // 3
        own = msgspec.structs.replace(load, sync=sync, sagas=max(1, sagas))
        if load.rate:
            found.append(Case({"sync": sync, "rate": f"{load.rate:g}/s"}, partial(measure, own)))
            continue
        for percent in LOADS:
            one = msgspec.structs.replace(own, percent=percent)
            found.append(Case({"sync": sync, "load_percent": percent}, partial(measure, one)))
    return found


async def measure(load: Load) -> Figures:
    """Run once on a fresh server."""
    stamps: defaultdict[int, list[float]] = defaultdict(list)
    saga = stamped(STEPS, stamps)
    with servers(sync=sync_of(load.sync)) as running, limits() as limit:
        writes = sorted(limit.writes(running.url, max(20, load.sagas // 10)))
        groups = group_commit(load.sync)
        async with open_runtime(running.url, sagas=[saga], max_active=4 * INFLIGHT, group_commit=groups) as runtime:
            await closed(runtime, saga, max(1, load.sagas // 10), inflight=INFLIGHT)  # warm up
            began = time.perf_counter()
            await closed(runtime, saga, load.sagas, inflight=INFLIGHT)
            capacity = load.sagas / (time.perf_counter() - began)
            await retired(runtime)
            stamps.clear()
            loop = OpenLoop(runtime, saga, load.rate or capacity * load.percent / 100, load.seconds)
            began, cpu = time.perf_counter(), time.process_time()
            await loop.run()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    times, late = sorted(loop.times), sorted(loop.late)
    steps = sorted(later - earlier for each in stamps.values() for earlier, later in pairwise(each))
    return {
        "p50_ms": quantile(times, 0.5) * 1000,
        "p99_ms": quantile(times, 0.99) * 1000,
        "p999_ms": quantile(times, 0.999) * 1000,
        "step_p50_ms": quantile(steps, 0.5) * 1000,
        "step_p99_ms": quantile(steps, 0.99) * 1000,
        "step_p999_ms": quantile(steps, 0.999) * 1000,
        "p50_over_writes": quantile(times, 0.5) / quantile(writes, 0.5),
        "writes_p50_ms": quantile(writes, 0.5) * 1000,
        "sagas_per_s": len(times) / seconds,
        "capacity_sagas_per_s": capacity,
        "late_p99_ms": quantile(late, 0.99) * 1000,
        "cpu_us_per_saga": cpu / len(times) * 1e6,
    }
