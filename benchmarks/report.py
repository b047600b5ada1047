"""What a figure needs beside it: the machine, the versions, the settings."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table
from sagakit.jetstream.embedded import find_server

console = Console()


def surroundings(sync: str) -> dict[str, str]:
    """Machine, versions, server settings."""
    server = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = ("sagakit", "nats-py", "trio", "trio-asyncio", "msgspec")
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "server": f"{server}, on loopback, R1, file storage",
        "sync": "sync_interval: always (an acknowledged record survives a power cut)"
        if sync == "always"
        else "server default (an acknowledged record survives kill -9, not a power cut)",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(title: str, rows: dict[str, Any], *, note: str) -> None:
    """Print one table and what it does not show."""
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, f"{value:,.3g}" if isinstance(value, float) and value < 100 else _plain(value))
    console.print(table)
    console.print(f"What this does not show: {note}")


def _plain(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float | int) else str(value)
