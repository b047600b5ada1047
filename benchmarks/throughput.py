"""Throughput: as many sagas of no-op steps as one worker process can bring to their end, all durable."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import psutil
import trio
from sagakit import Completed, Runtime, open_runtime
from sagakit.jetstream.embedded import embedded_server

from benchmarks.floor import floor
from benchmarks.workload import Job, saga_of

FLOOR_MESSAGES = 50_000


class Figures(msgspec.Struct, kw_only=True):
    """One run. CPU in seconds; latencies from start to end of one saga, at this many in flight."""

    floor_messages_per_s: float
    sagas_per_s: float
    messages_per_s: float
    messages_per_saga: float
    ratio_to_floor: float
    p50_ms: float
    p99_ms: float
    worker_cpu_s: float
    server_cpu_s: float
    seconds: float


async def measure(*, sagas: int, steps: int, inflight: int, sync: Literal["always", "relaxed"], shards: int) -> Figures:
    """Run once on a fresh server; the floor is measured on the same server, before and after, the better one counts."""
    saga = saga_of(steps)
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_server(Path(folder), sync=sync) as url:
            server = _server_process()
            before = await trio.to_thread.run_sync(floor, url, FLOOR_MESSAGES)
            async with open_runtime(url, sagas=[saga], shards=shards, max_active=inflight * 4) as runtime:
                await _run(runtime, saga, min(sagas, 500), inflight)  # warm up
                await _all_retired(runtime)
                sent, cpu, server_cpu = runtime.messages_sent, _cpu(os.getpid()), _cpu(server)
                began = time.perf_counter()
                times = await _run(runtime, saga, sagas, inflight)
                seconds = time.perf_counter() - began
                await _all_retired(runtime)
                sent, cpu, server_cpu = runtime.messages_sent - sent, _cpu(os.getpid()) - cpu, _cpu(server) - server_cpu
            after = await trio.to_thread.run_sync(floor, url, FLOOR_MESSAGES)
    best = max(before, after)
    per_saga = sent / sagas
    rate = sagas / seconds
    times.sort()
    return Figures(
        floor_messages_per_s=best,
        sagas_per_s=rate,
        messages_per_s=rate * per_saga,
        messages_per_saga=per_saga,
        ratio_to_floor=rate * per_saga / best,
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[len(times) * 99 // 100] * 1000,
        worker_cpu_s=cpu,
        server_cpu_s=server_cpu,
        seconds=seconds,
    )


async def _run(runtime: Runtime, saga: Any, sagas: int, inflight: int) -> list[float]:
    times: list[float] = []
    left = iter(range(sagas))

    async def client() -> None:
        for number in left:
            began = time.perf_counter()
            outcome = await runtime.execute(type(saga), None, Job(number))
            times.append(time.perf_counter() - began)
            assert isinstance(outcome, Completed), outcome

    async with trio.open_nursery() as nursery:
        for _ in range(inflight):
            nursery.start_soon(client)
    return times


async def _all_retired(runtime: Runtime) -> None:
    """Until every saga is in the archive; polled, so as not to be in the way."""
    while await runtime.list_active():  # noqa: ASYNC110  # as said
        await trio.sleep(0.01)


def _server_process() -> int:
    return next(int(child.pid) for child in psutil.Process().children() if "nats-server" in child.name())


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
