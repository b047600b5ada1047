"""The same work for every peer: three durable steps of nothing; the third refused and two undone; one at a time.

A peer is a module with a `main` that runs in a separate process, `python -m MODULE TASK`, and prints its figures.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from benchmarks.result import Figures, quantile

Work = Literal["steps", "refused"]
One = Callable[[Work, int], Awaitable[bool]]
"""A function that runs one saga to its end, and returns True if it ended as it should."""
Cpu = Callable[[], float]
"""A function that returns the CPU seconds so far."""

PATIENCE = 600.0
"""Seconds that one peer may take for all its work."""

FIGURES = {
    "sagas_per_s": "three durable steps of nothing, all succeed: sagas a second",
    "refused_per_s": "the third step refuses, two are undone: sagas a second",
    "single_p50_ms": "one at a time, from start to outcome, median",
    "single_p99_ms": "the same, 99th percentile",
    "p50_ms": "from start to outcome at so many in flight, median",
    "cpu_us_per_saga": "CPU of the processes with the user's code, microseconds a saga of three steps",
    "server_cpu_us_per_saga": "CPU of server or database, microseconds a saga of three steps; 0: it is in the process",
    "wrong": "sagas that did not end as they should, of all that were started",
}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The task of a peer. `store`: where its state is kept; `folder`: an empty one for this run."""

    store: str
    folder: str
    sagas: int
    inflight: int
    singles: int


async def measure(task: Task, one: One, *, cpu: Cpu = time.process_time, server_cpu: Cpu = lambda: 0.0) -> Figures:
    """Run all three workloads one after the other, each with a warm-up."""
    wrong = 0
    for number in range(max(3, task.singles // 10)):
        good = await one("steps", number), await one("refused", number)
        wrong += good.count(False)
    singles: list[float] = []
    for number in range(task.singles):
        began = time.perf_counter()
        wrong += not await one("steps", number)
        singles.append(time.perf_counter() - began)
    used, server_used = cpu(), server_cpu()
    steps, times, some = await _closed(task, one, "steps")
    used, server_used = cpu() - used, server_cpu() - server_used
    refused, _, more = await _closed(task, one, "refused")
    singles.sort()
    return {
        "sagas_per_s": task.sagas / steps,
        "refused_per_s": task.sagas / refused,
        "single_p50_ms": quantile(singles, 0.5) * 1000,
        "single_p99_ms": quantile(singles, 0.99) * 1000,
        "p50_ms": quantile(times, 0.5) * 1000,
        "cpu_us_per_saga": used / task.sagas * 1e6,
        "server_cpu_us_per_saga": server_used / task.sagas * 1e6,
        "wrong": float(wrong + some + more),
    }


async def _closed(task: Task, one: One, work: Work) -> tuple[float, list[float], int]:
    """Return the seconds for all, the sorted seconds of each, and how many ended wrong."""
    times: list[float] = []
    wrong = 0
    left = iter(range(task.sagas))

    async def client() -> None:
        nonlocal wrong
        for number in left:
            began = time.perf_counter()
            good = await one(work, number)
            times.append(time.perf_counter() - began)
            wrong += not good

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(task.inflight, task.sagas)):
            group.create_task(client())
    return time.perf_counter() - began, sorted(times), wrong


def in_a_process(module: str, task: Task) -> Figures:
    """Run a peer's module on a task. Raises RuntimeError, with its last lines, when it fails."""
    command = [sys.executable, "-m", module, msgspec.json.encode(task).decode()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed: " + "\n".join(done.stderr.splitlines()[-8:]))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Figures)


def answer(run: Callable[[Task], Awaitable[Figures]]) -> None:
    """Run the peer's side: read the task from the command line, print the figures."""
    task = msgspec.json.decode(sys.argv[1], type=Task)

    async def main() -> Figures:
        return await run(task)

    print(msgspec.json.encode(asyncio.run(main())).decode(), flush=True)
