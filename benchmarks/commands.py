"""The command line: how soon `sagakit --help` and `sagakit list` end, and how long a verb for thousands of sagas takes.

Each command is a process of its own, as a person calls it. Beside it, in turn, are processes that only start Python or
import the libraries and end as Python ends. `list` keeps more of nats-py out than they do, and does not free its
memory piece by piece, so it can be below that floor. Run as a program with a URL, it is the worker.
"""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import trio
from sagakit import Client, Context, RetryPolicy, Saga, open_client, step

from benchmarks.beside import serve, worker_beside
from benchmarks.result import Bench, Case, Figures
from benchmarks.servers import Servers, cpu_of, servers

INFLIGHT = 200
"""Starts at the same time."""
TIMES = 9
"""Number of times that each short command is called, in turn with the others; the median counts."""
WITHOUT_AIOHTTP = "import sys; sys.modules['aiohttp'] = None; import msgspec, nats, typer"
"""nats-py imports aiohttp, if it is installed, for WebSockets alone; the commands keep it out."""

BENCH = Bench(
    "commands",
    {
        "help_ms": "`sagakit --help`, median",
        "list_ms": "`sagakit list` of all, median; it prints 50",
        "retry_s": "`sagakit retry` of the stuck sagas, with the verdict of each, as a job",
        "terminate_s": "`sagakit terminate` of as many",
        "python_ms": "`python -c pass`, median",
        "typer_ms": "a process that imports typer, median",
        "floor_ms": "a process that imports typer, msgspec and nats-py without aiohttp, median",
        "help_over_typer": "CPU of the help, divided by that of the process that imports typer",
        "list_over_floor": "CPU of the list, divided by that of the process that imports the libraries",
        "help_cpu_ms": "CPU of `sagakit --help`, median",
        "list_cpu_ms": "CPU of `sagakit list`, median",
        "retry_cpu_s": "CPU of the command `retry`",
        "retry_worker_cpu_s": "CPU of the worker meanwhile: it applies the verb, calls the step and ends the saga",
        "retry_server_cpu_s": "CPU of the server meanwhile",
        "terminate_cpu_s": "CPU of the command `terminate`",
        "terminate_worker_cpu_s": "CPU of the worker meanwhile",
        "terminate_server_cpu_s": "CPU of the server meanwhile",
    },
    "a network; several workers; a machine without compiled modules, where each start compiles anew.",
)


class Post(Saga[str]):
    """A saga that is stuck until the file that it is given exists."""

    @step(pivot=True, retry=RetryPolicy(max_attempts=1))
    async def hand_over(self, carrier: str, ctx: Context) -> None:
        if not os.path.exists(carrier):  # noqa: ASYNC240  # thousands of sagas ask
            raise ConnectionError("carrier: 503")


class Took(NamedTuple):
    """The milliseconds of a command: by the clock, and of CPU."""

    wall: float
    cpu: float


def cases(sagas: int, *, times: int = TIMES) -> list[Case]:
    """Return the case of so many stuck sagas; the same number is retried and terminated."""
    return [Case({"sagas": sagas}, partial(_measure, sagas, times))]


async def _measure(sagas: int, times: int) -> Figures:
    with (
        servers(sync="relaxed") as server,
        TemporaryDirectory() as folder,
        worker_beside("benchmarks.commands", server.url) as pid,
    ):
        carrier = Path(folder) / "carrier"
        async with open_client(server.url) as client:
            await _start_all(client, [f"r-{number}" for number in range(sagas)], str(carrier))
            await _start_all(client, [f"t-{number}" for number in range(sagas)], str(Path(folder) / "nobody"))
            await _until_stuck(client, 2 * sagas)
        figures = _short(server.url, times)
        carrier.touch()
        why = ("--reason", "the carrier is back", "--by", "bench", "--yes", "-o", "none")
        for verb, glob in (("retry", "Post.r-*"), ("terminate", "Post.t-*")):
            figures |= _bulk(verb, [verb, glob, *why], server, pid)
        return {name: figures[name] for name in BENCH.figures}


def _short(url: str, times: int) -> Figures:
    """Measure the short commands and what they cannot be faster than."""
    commands = {
        "python": ["-c", "pass"],
        "typer": ["-c", "import typer"],
        "floor": ["-c", WITHOUT_AIOHTTP],
        "help": ["-m", "sagakit", "--help"],
        "list": ["-m", "sagakit", "list", "--nats", url],
    }
    for words in commands.values():  # once, so that all modules are compiled
        _took(words)
    rounds = [{name: _took(words) for name, words in commands.items()} for _ in range(times)]
    wall = {name: median(one[name].wall for one in rounds) for name in commands}
    cpu = {name: median(one[name].cpu for one in rounds) for name in commands}
    return {
        **{f"{name}_ms": wall[name] for name in ("help", "list", "python", "typer", "floor")},
        "help_over_typer": cpu["help"] / cpu["typer"],
        "list_over_floor": cpu["list"] / cpu["floor"],
        "help_cpu_ms": cpu["help"],
        "list_cpu_ms": cpu["list"],
    }


def _bulk(verb: str, words: Sequence[str], server: Servers, worker: int) -> Figures:
    before, served = cpu_of(worker), server.cpu()
    took = _took(["-m", "sagakit", *words, "--nats", server.url])
    return {
        f"{verb}_s": took.wall / 1e3,
        f"{verb}_cpu_s": took.cpu / 1e3,
        f"{verb}_worker_cpu_s": cpu_of(worker) - before,
        f"{verb}_server_cpu_s": server.cpu() - served,
    }


def _took(words: Sequence[str]) -> Took:
    """Run Python with these words, and return how long it took."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, began = _children_cpu(), time.perf_counter()
    subprocess.run([sys.executable, *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return Took(1e3 * (time.perf_counter() - began), 1e3 * (_children_cpu() - before))


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _start_all(client: Client, ids: Sequence[str], carrier: str) -> None:
    for first in range(0, len(ids), INFLIGHT):
        some = ids[first : first + INFLIGHT]
        await client._wire.together(*(partial(client.start, Post, id, carrier) for id in some))


async def _until_stuck(client: Client, number: int) -> None:
    while len((await client.list(where="status = stuck")).items) < number:  # noqa: ASYNC110  # another process
        await trio.sleep(0.5)


if __name__ == "__main__":
    logging.disable()  # thousands of sagas get stuck on purpose
    trio.run(serve, sys.argv[1], Post())
