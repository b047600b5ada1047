"""Command `python -m tests.clocks`: are times kept, and ids run once, whatever the workers' wall clocks say?

It starts a nats-server and six workers one after the other, takes a minute, and prints its measurements. Exit code 1
when a time was not kept within TOLERATED seconds, or when anything else went wrong. It needs libfaketime.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from tests.clocks import keeping, late
from tests.servers import Server, running_server

TOLERATED = 0.3
"""Seconds by which a time may be off. The machine must have nothing else to do."""


async def main(server: Server, folder: Path, console: Console) -> bool:
    """Run everything; return True if all times were kept and every id ran once."""
    kept = [await _keep(server, folder, console, ahead) for ahead in (keeping.HOUR, -keeping.HOUR)]
    once = [await _once(server, console, ahead) for ahead in (keeping.HOUR, -keeping.HOUR)]
    return all(kept + once)


async def _keep(server: Server, folder: Path, console: Console, ahead: float) -> bool:
    namespace = _named("keeping", ahead)
    where = folder / namespace
    where.mkdir()
    console.print(f"workers {ahead:+.0f} s, {ahead:+.0f} s and {-ahead:+.0f} s; the first is killed, the others' jump")
    report = await keeping.run(where, server.url, namespace, ahead=ahead)
    table = Table("saga", "due after", "came after", "late by")
    for one in report.kept:
        table.add_row(one.saga, f"{one.expected:.1f} s", f"{one.took:.3f} s", f"{one.late:+.3f} s")
    console.print(table)
    for text in report.wrong:
        console.print(text, style="red", markup=False)
    return not report.wrong and all(abs(one.late) <= TOLERATED for one in report.kept)


async def _once(server: Server, console: Console, ahead: float) -> bool:
    report = await late.run(server, _named("late", ahead), ahead=ahead)
    console.print(f"a create held for {late.HELD:g} s, the other worker {ahead:+.0f} s: {report}", markup=False)
    return report.right


def _named(what: str, ahead: float) -> str:
    return f"{what}-{'ahead' if ahead > 0 else 'behind'}"


with tempfile.TemporaryDirectory(prefix="sagakit-clocks-") as name, running_server(Path(name) / "nats") as running:
    well = trio.run(main, running, Path(name), Console(width=110))
print("all times were kept, and every id ran once" if well else "NOT as promised")
sys.exit(not well)
