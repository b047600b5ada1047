"""A participant in a process of its own, on asyncio: `python -m benchmarks.participant URL`. Its handlers do nothing.

It keeps its keys in memory, so no database is measured.
"""

from __future__ import annotations

import asyncio
import sys

from sagakit.participant import CommandContext, MemoryKeys, Service, open_asyncio_participant

from benchmarks.workload import MAKE, UNMAKE, Job, Made

MAX_CONCURRENT = 100
"""Commands that are worked on at a time: as many as there are sagas in flight."""


def service() -> Service:
    """Return the service, which does the remote steps of `benchmarks.workload`."""
    name, make = MAKE.split(".")
    bench = Service(name)

    @bench.endpoint(make)
    async def do(job: Job, ctx: CommandContext) -> Made:
        return Made(ctx.key)

    @do.undo(UNMAKE.split(".")[1])
    async def undo(job: Job, made: Made, ctx: CommandContext) -> None:
        return None

    return bench


async def main(url: str) -> None:
    """Serve until standard input ends."""
    async with open_asyncio_participant(url, service(), keys=MemoryKeys(), max_concurrent=MAX_CONCURRENT):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
