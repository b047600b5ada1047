"""`sagakit demo`: a server, a worker process, a progress bar, a table, and an audit.

The server belongs to this process. The sagas run in a process of `examples.orders.worker`, so that `--crash` can kill
it with SIGKILL.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sagakit.errors import CannotConnect, SagakitError
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.server_process import find_server

if TYPE_CHECKING:  # the example is in the repository, not in the package
    from examples.orders.domain import Order
    from examples.orders.worker import Line

CRASHES = (0.1, 0.3, 0.5, 0.7)
"""Shares of the orders after which `--crash` kills the worker."""


class CannotRun(Exception):
    """The demo cannot run; the text says why."""


def check_can_run() -> None:
    """Raise CannotRun if there is no nats-server."""
    try:
        find_server()
    except CannotConnect as error:
        raise CannotRun(f"the demo needs a nats-server: {error}") from None


async def run(file: Path | None, crash: bool, folder: Path, console: Console) -> bool:
    """Run the demo. Return True if the books balance and every order has ended. Raises CannotRun."""
    file = Path(_example("orders_file").OWN_FILE) if file is None else file
    orders = _read_orders(file, console)
    if (folder / "books").exists():
        console.print(f"going on with the data in {folder}")
    started = time.perf_counter()
    try:
        async with embedded_server(folder / "nats") as url:
            demo = _Demo(url, folder / "books", file, len(orders), console)
            lines = await demo.work(CRASHES if crash else ())
    except SagakitError as error:
        raise CannotRun(str(error)) from None
    _print_table(console, lines, time.perf_counter() - started, demo.kills)
    outcomes = {line.order: line.status == "completed" for line in lines if line.status != "stuck"}
    good = _print_audit(console, _example("audit").audit(folder / "books", orders, outcomes))
    good = good and len(outcomes) == len(orders)
    if good:
        _forget(folder)
    return good


def _example(name: str) -> Any:
    """Return a module of the example, which is in the repository and not in the package. Raises CannotRun."""
    try:
        return import_module(f"examples.orders.{name}")
    except ModuleNotFoundError:
        raise CannotRun("the demo's example is missing: run it in a clone of the repository (`make demo`)") from None


def _read_orders(file: Path, console: Console) -> list[Order]:
    """Return the orders of a file, and print the rows that are left out. Raises CannotRun."""
    try:
        orders, problems = _example("orders_file").read_orders(file)
    except (OSError, ValueError) as error:
        raise CannotRun(str(error)) from None
    for problem in problems:
        console.print(f"[yellow]left out: {problem}[/]")
    if not orders:
        raise CannotRun(f"{file} holds no order")
    found: list[Order] = orders
    return found


def _forget(folder: Path) -> None:
    """Remove the data of a complete run."""
    # First one rename, which cannot be half done: books without the sagas that wrote them would not balance next time.
    done = folder.with_name(folder.name + ".done")
    if done.exists():  # an earlier removal was interrupted
        shutil.rmtree(done)
    folder.rename(done)
    shutil.rmtree(done)


class _Demo:
    def __init__(self, url: str, books: Path, file: Path, total: int, console: Console) -> None:
        self._url = url
        self._books = books
        self._file = file
        self._total = total
        self._console = console
        self._line = msgspec.json.Decoder(_example("worker").Line)
        self._ended: dict[str, Line] = {}
        self.kills = 0

    async def work(self, crashes: tuple[float, ...]) -> list[Line]:
        """Run workers until every order has ended; kill one at each share in `crashes`."""
        progress = Progress(
            TextColumn("orders"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=self._console
        )
        with progress:
            bar = progress.add_task("orders", total=self._total)
            for share in (*crashes, math.inf):
                await self._one_worker(share, partial(progress.update, bar))
                if len(self._ended) == self._total:
                    break
                if share != math.inf:
                    self.kills += 1
                    progress.console.print(
                        f"worker killed (SIGKILL) at {len(self._ended)} of {self._total}; starting another"
                    )
        if len(self._ended) < self._total:
            raise CannotRun(f"the worker ended with {self._total - len(self._ended)} orders unfinished")
        return list(self._ended.values())

    async def _one_worker(self, share: float, show: Any) -> None:
        command = [sys.executable, "-m", "examples.orders.worker", self._url, str(self._books), str(self._file)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )  # in a new session, so that a Ctrl-C reaches only this process, which then ends the worker
        try:
            await self._read(process, share, show)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()

    async def _read(self, process: trio.Process, share: float, show: Any) -> None:
        """Read the worker's lines until it ends, or until the share is reached after which it is killed."""
        assert process.stdout is not None
        rest = b""
        async for chunk in process.stdout:
            *whole, rest = (rest + chunk).split(b"\n")
            for text in whole:
                line: Line = self._line.decode(text)
                self._ended[line.order] = line
            show(completed=len(self._ended))
            if share * self._total <= len(self._ended) < self._total:
                return
        await process.wait()


def _print_table(console: Console, lines: list[Line], seconds: float, kills: int) -> None:
    status = Counter(line.status for line in lines)
    compensated = sum(line.status == "failed" and line.undone > 0 for line in lines)
    causes = Counter(line.cause for line in lines if line.cause)
    times = sorted(line.seconds for line in lines)
    table = Table(title=f"{len(lines)} orders", show_header=False)
    table.add_row("completed", str(status["completed"]))
    table.add_row("compensated", str(compensated))
    table.add_row("failed, with nothing to undo", str(status["failed"] - compensated))
    table.add_row("stuck", str(status["stuck"]))
    table.add_row("reasons", ", ".join(f"{cause} {count}" for cause, count in causes.most_common()))
    table.add_section()
    table.add_row("steps done", str(sum(line.steps for line in lines)))
    table.add_row("steps undone", str(sum(line.undone for line in lines)))
    table.add_row("retries and checks", str(sum(line.retries for line in lines)))
    if kills:
        table.add_row("worker killed", f"{kills} times")
        table.add_row("", "a call that was cut off may have happened and is undone, too: fewer fail with nothing")
        table.add_row("sagas taken over", str(sum(line.recovered > 0 for line in lines)))
    table.add_section()
    table.add_row("sagas per second", f"{len(lines) / seconds:.0f}")
    table.add_row("p50, start to end", f"{times[len(times) // 2] * 1000:.0f} ms")
    table.add_row("p99, start to end", f"{times[min(len(times) - 1, len(times) * 99 // 100)] * 1000:.0f} ms")
    console.print(table)


def _print_audit(console: Console, findings: list[Any]) -> bool:
    for finding in findings:
        console.print(f"[green]ok[/]    {finding.rule}" if not finding.wrong else f"[red]WRONG[/] {finding.rule}")
        for wrong in finding.wrong[:10]:
            console.print(f"        {wrong}")
    good = not any(finding.wrong for finding in findings)
    console.print("[bold green]books balance[/]" if good else "[bold red]the books do not balance[/]")
    return good
