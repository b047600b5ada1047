"""Edda: workflows and activities are decorated functions; registered compensations run when a workflow fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers import sqlite
from benchmarks.peers.harness import One, Task, Work, answer, measure
from benchmarks.result import Figures

UNDONE: Counter[int] = Counter()
"""Number of undone steps, by the number of the saga."""


def define(edda: Any) -> One:
    """Register activities, compensations and workflows."""

    @edda.activity  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def act(ctx: Any, number: int) -> dict[str, int]:
        return {"made": number}

    @edda.compensation  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def undo(ctx: Any, number: int) -> None:
        UNDONE[number] += 1

    @edda.activity  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def refuse(ctx: Any, number: int) -> dict[str, int]:
        raise edda.TerminalError("no")

    @edda.workflow  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def steps(ctx: Any, number: int) -> dict[str, int]:
        made: dict[str, int] = {}
        for _ in range(3):
            made = await act(ctx, number)
        return made

    @edda.workflow  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def refused(ctx: Any, number: int) -> dict[str, int]:
        for _ in range(2):
            await act(ctx, number)
            await edda.register_compensation(ctx, undo, number=number)
        return dict(await refuse(ctx, number))

    async def one(work: Work, number: int) -> bool:
        if work == "steps":
            try:
                await steps.start(number=number)
            except Exception:  # This saga did not end as it should, whatever the error is; it counts as wrong.
                return False
            return True
        before = UNDONE[number]
        try:
            await refused.start(number=number)
        except Exception:  # a failed workflow raises; both steps must be undone
            return UNDONE[number] == before + 2
        return False

    return one


async def run(task: Task) -> Figures:
    """Run on a SQLite file with the journal of the task: `sqlite` or `sqlite-wal`."""
    edda: Any = import_module("edda")
    file = Path(task.folder) / "edda.db"
    sqlite.prepare(file, wal=task.store == "sqlite-wal")
    app = edda.EddaApp(service_name="bench", db_url=f"sqlite:///{file}")
    await app.initialize()
    try:
        found = await measure(task, define(edda))
    finally:
        await asyncio.wait_for(app.shutdown(), 10)
    sqlite.check(file, wal=task.store == "sqlite-wal")
    return found


if __name__ == "__main__":
    answer(run)
