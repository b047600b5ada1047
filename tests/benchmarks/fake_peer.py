"""A peer that keeps everything in memory, and gets one refusal in three wrong."""

from __future__ import annotations

import asyncio

from benchmarks.peers.harness import Task, Work, answer, measure
from benchmarks.result import Figures


async def run(task: Task) -> Figures:
    if task.store == "broken":
        raise RuntimeError("the store is broken")

    async def one(work: Work, number: int) -> bool:
        await asyncio.sleep(0)
        return work == "steps" or number % 3 != 0

    return await measure(task, one)


if __name__ == "__main__":
    answer(run)
