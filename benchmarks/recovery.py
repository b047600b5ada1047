"""Recovery: a worker process is killed with thousands of sagas in the middle of a step; a second one takes them over.

The killed worker is a process, `python -m benchmarks.recovery URL COUNT`, whose second step never ends. The second
worker is this process. It counts a saga as resumed when it calls the saga's second step again.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import trio
from sagakit import Context, Runtime, Saga, open_runtime, step
from sagakit.jetstream.server_process import Sync

from benchmarks.limits import limits
from benchmarks.load import start_all
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import die_with_owner, servers
from benchmarks.workload import Job, Made

INFLIGHT = 500
PATIENCE = 120.0
"""Seconds within which every saga must be resumed."""

BENCH = Bench(
    "recovery",
    {
        "adopted_s": "from the word that the worker is dead to the last adoption's write",
        "first_resumed_s": "from that word to the first saga's step called again",
        "p50_resumed_s": "the same, half of the sagas",
        "last_resumed_s": "the same, the last saga",
        "all_ended_s": "from that word until all sagas have ended",
        "declared_s": "from the kill to that word",
        "sagas": "sagas in flight at the kill, each with an open attempt",
        "resumed_per_s": "sagas a second between the word and the last",
        "resumed_over_floor": "messages of these adoptions (one write each) a second, over the floor",
        "cpu_us_per_saga": "CPU of the second worker, microseconds a saga, from the kill to the last saga's end",
        "floor_messages_per_s": "the floor on the same server, before",
    },
    "both workers and the server share one machine, the second worker has nothing else to do, and steps do nothing; "
    "an observer suspends its fast judgment after its own reconnect",
)


class Held(Saga[Job]):
    """Three steps. The second ends once so many sagas are in it, so that steps take time with all of them in flight."""

    def __init__(self, *, until: int | None) -> None:
        """Hold the second step until so many sagas are in it; None: forever, as in the worker to be killed."""
        self._until = until
        self._all = trio.Event()
        self.calls: list[float] = []

    @step
    async def first(self, job: Job, ctx: Context) -> Made:
        return Made(ctx.key)

    @first.compensate
    async def undo_first(self, job: Job, made: Made | None, ctx: Context) -> None:
        return None

    @step(first)
    async def second(self, job: Job, made: Made, ctx: Context) -> Made:
        self.calls.append(time.perf_counter())
        if len(self.calls) == self._until:
            self._all.set()
        await self._all.wait()
        return Made(ctx.key)

    @second.compensate
    async def undo_second(self, job: Job, made: Made | None, ctx: Context) -> None:
        return None

    @step(second, compensate=None)
    async def third(self, job: Job, made: Made, ctx: Context) -> Made:
        return Made(ctx.key)


def cases(sagas: int, syncs: tuple[Sync, ...]) -> list[Case]:
    """Return one case for each durability."""
    return [Case({"sync": sync}, partial(measure, sagas, sync)) for sync in syncs]


async def measure(sagas: int, sync: Sync) -> Figures:
    """Run once on a fresh server."""
    saga = Held(until=sagas)
    with servers(sync=sync) as running, limits() as limit:
        floor = limit.floor(running.url, 5 * sagas)
        with _victim(running.url, sagas) as victim, _declared() as declared:
            async with open_runtime(running.url, sagas=[saga], max_active=2 * sagas, worker_name="second") as runtime:
                cpu = time.process_time()
                killed = time.perf_counter()
                victim.send_signal(signal.SIGKILL)
                adopted = await _until_adopted(runtime, sagas)
                await _until_all_ended(runtime, saga, sagas)
                ended, cpu = time.perf_counter(), time.process_time() - cpu
    if not declared:
        raise RuntimeError("the second worker never said that the first is dead: has the text of its log changed?")
    word = declared[0]
    resumed = sorted(call - word for call in saga.calls)
    return {
        "adopted_s": adopted - word,
        "first_resumed_s": resumed[0],
        "p50_resumed_s": quantile(resumed, 0.5),
        "last_resumed_s": resumed[-1],
        "all_ended_s": ended - word,
        "declared_s": word - killed,
        "sagas": float(sagas),
        "resumed_per_s": sagas / resumed[-1],
        "resumed_over_floor": sagas / resumed[-1] / floor.messages_per_s,
        "cpu_us_per_saga": cpu / sagas * 1e6,
        "floor_messages_per_s": floor.messages_per_s,
    }


async def _until_adopted(runtime: Runtime, sagas: int) -> float:
    """Wait until all sagas are adopted; return the time of the last adoption."""
    with trio.fail_after(PATIENCE):
        while runtime.metrics()["adopted_total"] < sagas:  # noqa: ASYNC110  # a counter tells nobody
            await trio.sleep(0.01)
    return time.perf_counter()


async def _until_all_ended(runtime: Runtime, saga: Held, sagas: int) -> None:
    with trio.fail_after(PATIENCE):
        while len(saga.calls) < sagas or await runtime.list_active():  # noqa: ASYNC110  # polls rarely, to cost nothing
            await trio.sleep(0.05)


@contextmanager
def _declared() -> Iterator[list[float]]:
    """Yield a list of the times at which a worker logs that another is dead."""
    found: list[float] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "is dead" in record.getMessage():
                found.append(time.perf_counter())

    log, handler = logging.getLogger("sagakit"), Handler()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield found
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def _victim(url: str, sagas: int) -> Iterator[subprocess.Popen[str]]:
    """Run a worker process that holds so many sagas once the context is open."""
    command = [sys.executable, "-m", "benchmarks.recovery", url, str(sagas)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_owner
    ) as running:
        try:
            assert running.stdout is not None
            if running.stdout.readline() != "holding\n":
                raise RuntimeError("the worker to be killed did not get its sagas going: see its error above")
            yield running
        finally:
            running.kill()


async def hold(url: str, sagas: int) -> None:
    """Run the process to be killed; it ends by itself when its standard input is closed."""
    saga = Held(until=None)
    async with open_runtime(url, sagas=[saga], max_active=2 * sagas, worker_name="first", drain_timeout=0) as runtime:
        await start_all(runtime, Held, map(Job, range(sagas)), inflight=INFLIGHT)
        while len(saga.calls) < sagas:  # noqa: ASYNC110  # polls rarely, to cost nothing
            await trio.sleep(0.05)
        print("holding", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    trio.run(hold, sys.argv[1], int(sys.argv[2]))
