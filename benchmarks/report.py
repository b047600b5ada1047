"""The report of a figure: the machine, the versions, the settings, and tables for a terminal and for a page."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions, version

from rich.console import Console
from rich.table import Table
from sagakit.jetstream.server_process import find_server

from benchmarks.result import Labels, Result

console = Console(width=None if sys.stdout.isatty() else 120)

WIDE = 4
"""Columns of cases that a terminal has room for; with more, each case is a line."""
SYNCS = {
    "relaxed": "server default: an acknowledged record survives kill -9, not a power cut",
    "always": "sync_interval: always: an acknowledged record survives a power cut",
}


def surroundings() -> dict[str, str]:
    """Return machine, versions, server settings, and how busy the machine is."""
    server = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = ("sagakit", "nats-py", "trio", "trio-asyncio", "msgspec")
    installed = {found.name for found in distributions()}
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "load_before": f"{os.getloadavg()[0]:.2f} runnable processes on average over the minute before",
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in packages if name in installed),
        "server": f"{server}, on loopback, file storage",
        **SYNCS,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(result: Result) -> None:
    """Print the surroundings, the table, the figures across rows, and the limits of the benchmark."""
    for name, value in result.surroundings.items():
        console.print(f"{name}: {value}", highlight=False)
    head, *lines = grid(result, wide=WIDE)
    table = Table(title=result.title)
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    for name, figure in result.summary.items():
        console.print(f"{name}: {plain(figure)}", highlight=False)
    console.print(f"What this does not show: {result.not_shown}", highlight=False)


def markdown(results: Sequence[Result]) -> str:
    """Return one page with the table of each result."""
    lines = ["# Figures", "", *(f"- {name}: {value}" for name, value in results[0].surroundings.items())]
    for result in results:
        head, *rows = grid(result, wide=WIDE)
        lines += ["", f"## {result.bench}", "", f"{result.title}, taken {result.taken_at}.", ""]
        lines += [_line(head), _line(["---"] + ["---:"] * (len(head) - 1)), *map(_line, rows), ""]
        lines += [f"- {name}: {plain(figure)}" for name, figure in result.summary.items()]
        lines += ["", f"Not shown: {result.not_shown}"]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def grid(result: Result, *, wide: int) -> list[list[str]]:
    """Return the medians as text, a head line first: a line for each figure, or one for each case if there are many."""
    names = list(result.figures)
    cells = [[plain(row.median[name]) if name in row.median else "" for name in names] for row in result.rows]
    titles = [title_of(row.labels) for row in result.rows]
    if len(titles) <= wide:
        return [["", *titles], *([name, *column] for name, *column in zip(names, *cells, strict=True))]
    some = names[:6]
    return [["", *some], *([title, *line[: len(some)]] for title, line in zip(titles, cells, strict=True))]


def title_of(labels: Labels) -> str:
    """Return the labels in a few words."""
    return ", ".join(_label(name, value) for name, value in labels.items())


def _label(name: str, value: str | int) -> str:
    if isinstance(value, str):
        return value
    return f"R{value}" if name == "replicas" else f"{value:,} {name}"


def plain(value: float) -> str:
    """Return the number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
