"""DBOS Transact: workflows and steps are decorated functions, undone in an `except` as in its docs' sagas."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers import sqlite
from benchmarks.peers.harness import One, Task, Work, answer, measure
from benchmarks.peers.postgres import postgres
from benchmarks.result import Figures


class Refused(Exception):
    """The third step's refusal."""


def define(dbos: Any) -> One:
    """Register steps and workflows."""

    @dbos.step()  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def act(number: int) -> str:
        return f"made {number}"

    @dbos.step()  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def undo(made: str) -> None:
        return None

    @dbos.step()  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def refuse(number: int) -> str:
        raise Refused

    @dbos.workflow()  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def steps(number: int) -> str:
        made = ""
        for _ in range(3):
            made = await act(number)
        return made

    @dbos.workflow()  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def refused(number: int) -> str:
        first, second = await act(number), await act(number)
        try:
            return str(await refuse(number))
        except Refused:
            await undo(second)
            await undo(first)
            return "undone"

    async def one(work: Work, number: int) -> bool:
        if work == "steps":
            return bool(await steps(number) == f"made {number}")
        return bool(await refused(number) == "undone")

    return one


async def run(task: Task) -> Figures:
    """Run on the store of the task: `sqlite`, `sqlite-wal` or `postgres`."""
    dbos: Any = import_module("dbos").DBOS
    file = Path(task.folder) / "dbos.sqlite"
    with ExitStack() as stack:
        if task.store == "postgres":
            database = stack.enter_context(postgres())
            url, server_cpu = f"{database.url}/dbos_bench", database.cpu
        else:
            sqlite.prepare(file, wal=task.store == "sqlite-wal")
            url, server_cpu = f"sqlite:///{file}", None
        dbos(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
        one = define(dbos)
        dbos.launch()
        stack.callback(dbos.destroy)
        if server_cpu is not None:
            return await measure(task, one, server_cpu=server_cpu)
        found = await measure(task, one)
        sqlite.check(file, wal=task.store == "sqlite-wal")
        return found


if __name__ == "__main__":
    answer(run)
