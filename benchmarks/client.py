"""A client without a worker: the time from the end of a saga to its outcome, and what 10,000 waits cost.

Run as a program with a URL, it is the worker beside the client.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal, TypeAlias
from unittest.mock import patch

import psutil
import sagakit.asyncio
import trio
from sagakit import Client, Context, Saga, open_client, signal, step
from sagakit.client.changes import HeardKey
from sagakit.jetstream.server_process import Sync

from benchmarks.beside import serve, worker_beside
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import servers

Face: TypeAlias = Literal["asyncio", "trio"]
INFLIGHT = 200
"""Starts, and waits that begin, at the same time."""
ENDED = 500
"""Sagas that end one after the other, each when the one before has been heard of."""

BENCH = Bench(
    "client",
    {
        "p50_ms": "from the end of a saga's last step to the return of `outcome`, median; its last write is in between",
        "p99_ms": "the same, 99th percentile",
        "waiting": "tasks that wait at once, each for a saga of its own",
        "wait_seconds": "until all of them are at rest: started, heard and read once",
        "rss_bytes_per_wait": "growth of the client's resident memory, a wait",
        "idle_cpu_percent": "CPU of the client while all are at rest, in percent of one core: the net that looks again",
    },
    "the worker is another process on the same machine, with the same clock; sagas end one at a time. The client's "
    "memory counts its tasks, too.",
)


class Await(Saga[int, float]):
    """A saga that waits for a signal, and whose output is the time of its end."""

    go = signal(int)

    @step(go, compensate=None)
    async def end(self, number: int, go: int, ctx: Context) -> float:
        return time.time()

    def output(self, input: int, ctx: Context) -> float:
        return ctx.result(Await.end)


def cases(waiting: tuple[int, ...], syncs: tuple[Sync, ...], *, ended: int) -> list[Case]:
    """Return a case for each face, number of waits and kind of sync."""
    faces: tuple[Face, ...] = ("asyncio", "trio")
    return [
        Case({"face": face, "waiting": number, "sync": sync}, partial(_measure, face, number, sync, min(ended, number)))
        for sync in syncs
        for number in waiting
        for face in faces
    ]


async def _measure(face: Face, waiting: int, sync: Sync, ended: int) -> Figures:
    with servers(sync=sync) as server, worker_beside("benchmarks.client", server.url):
        if face == "trio":
            async with open_client(server.url) as client:
                return await _waits(client, waiting, ended)
        return await trio.to_thread.run_sync(_under_asyncio, server.url, waiting, ended)


def _under_asyncio(url: str, waiting: int, ended: int) -> Figures:
    async def main() -> Figures:
        async with sagakit.asyncio.open_client(url) as client:
            return await _waits(client, waiting, ended)

    # a plain loop: where trio-asyncio is imported, `asyncio.run` runs on trio
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())


@contextmanager
def _rests() -> Iterator[set[str]]:
    """Give the keys of the sagas whose waits have come to rest while the context is open.

    A wait rests when its saga is heard, its first read is done, and only a reason to look again can wake it.
    """
    rested, until_another = set[str](), HeardKey.until_another

    async def resting(change: HeardKey, since: int, *, halted: bool = False) -> None:
        rested.add(change.key)
        await until_another(change, since, halted=halted)

    with patch.object(HeardKey, "until_another", resting):
        yield rested


async def _waits(client: Client, waiting: int, ended: int) -> Figures:
    wire = client._wire
    me, latencies, began = psutil.Process(), list[float](), time.perf_counter()
    gc.collect()
    before = me.memory_info().rss
    heard = [wire.event() for _ in range(waiting)]
    figures: Figures = {}

    async def wait(number: int) -> None:
        ended_at = await (await client.get(Await, f"{number}")).result()
        latencies.append(time.time() - ended_at)
        heard[number].set()

    async def drive() -> None:
        await _until(lambda: len(rested) >= waiting, client)
        waited = time.perf_counter() - began
        gc.collect()
        grown = me.memory_info().rss - before
        figures.update(waiting=float(waiting), wait_seconds=waited, rss_bytes_per_wait=grown / waiting)
        cpu, now = sum(me.cpu_times()[:2]), time.perf_counter()
        await wire.sleep(2.0)
        figures["idle_cpu_percent"] = 100 * (sum(me.cpu_times()[:2]) - cpu) / (time.perf_counter() - now)
        for number in range(ended):
            await client.signal(Await, f"{number}", Await.go, 1)
            await heard[number].wait()
        raise _Done

    await _start_all(client, waiting)
    with _rests() as rested, suppress(_Done):
        await wire.together(*(partial(wait, number) for number in range(waiting)), drive)
    ordered = sorted(latencies)
    return {"p50_ms": 1e3 * quantile(ordered, 0.5), "p99_ms": 1e3 * quantile(ordered, 0.99), **figures}


async def _start_all(client: Client, number: int) -> None:
    for first in range(0, number, INFLIGHT):
        ids = range(first, min(first + INFLIGHT, number))
        await client._wire.together(*(partial(client.start, Await, f"{id}", id, wait="started") for id in ids))


async def _until(so: Callable[[], bool], client: Client) -> None:
    while not so():
        await client._wire.sleep(0.05)


class _Done(Exception):
    """The end of a measurement: the waits that are left are given up."""


if __name__ == "__main__":
    trio.run(serve, sys.argv[1], Await())
