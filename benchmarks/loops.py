"""The two kinds of loop for nats-py, compared: two workers stay open on one server and take turns.

See docs/decisions/0016. One after the other they would spread more than they differ.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Literal, NamedTuple

from sagakit.jetstream.asyncio_side import VARIABLE
from sagakit.jetstream.server_process import Sync

from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import servers
from benchmarks.throughput import Load
from benchmarks.worker import Report, Task, worker

Kind = Literal["trio-asyncio", "thread"]
KINDS: tuple[Kind, Kind] = ("trio-asyncio", "thread")
PAIRS = 5
"""Number of turns that each of the two workers has in a run."""

AVAILABLE: bool = find_spec("trio_asyncio") is not None
"""True where there is trio-asyncio to compare the thread with: up to Python 3.13."""

BENCH = Bench(
    "loops",
    {
        "rate_ratio": "sagas a second with the loop in a thread, over those with trio-asyncio; median of the pairs",
        "rate_ratio_min": "the worst pair",
        "rate_ratio_max": "the best pair",
        "cpu_ratio": "CPU of the worker a saga, the same way",
        "p50_ratio": "median time from `start` to outcome, the same way",
        "sagas_per_s": "sagas a second with trio-asyncio",
        "thread_sagas_per_s": "sagas a second with the loop in a thread",
    },
    "a Python without trio-asyncio, from 3.14 on, has the thread only.",
)


class Turn(NamedTuple):
    """The figures of one turn: sagas a second, CPU seconds a saga, median seconds of a saga."""

    rate: float
    cpu: float
    p50: float


def cases(load: Load, single: int, syncs: Sequence[Sync]) -> list[Case]:
    """Return a case for many sagas in flight, and one for one at a time, for each durability."""
    sizes = ((load.sagas, load.inflight), (single, 1))
    return [
        Case({"sync": sync, "inflight": inflight}, partial(measure, sagas, inflight, sync))
        for sync in syncs
        for sagas, inflight in sizes
    ]


async def measure(sagas: int, inflight: int, sync: Sync) -> Figures:
    """Run PAIRS pairs of turns on a fresh server. The worker that begins a pair changes from pair to pair."""
    turns: dict[Kind, list[Turn]] = {kind: [] for kind in KINDS}
    with servers(sync=sync) as running, ExitStack() as stack:
        task = Task(url=running.url, sagas=sagas, inflight=inflight)
        workers = {kind: stack.enter_context(worker(task, env=os.environ | {VARIABLE: kind})) for kind in KINDS}
        for one in workers.values():
            one.read()
        for pair in range(PAIRS):
            for kind in KINDS if pair % 2 == 0 else reversed(KINDS):
                workers[kind].write("go")
                turns[kind].append(_turn(workers[kind].report(), sagas))
    return _figures(turns)


def _turn(report: Report, sagas: int) -> Turn:
    return Turn(sagas / (report.ended - report.began), report.cpu / sagas, quantile(report.times, 0.5))


def _figures(turns: dict[Kind, list[Turn]]) -> Figures:
    pairs = list(zip(turns["trio-asyncio"], turns["thread"], strict=True))
    rates = [thread.rate / plain.rate for plain, thread in pairs]
    return {
        "rate_ratio": median(rates),
        "rate_ratio_min": min(rates),
        "rate_ratio_max": max(rates),
        "cpu_ratio": median(thread.cpu / plain.cpu for plain, thread in pairs),
        "p50_ratio": median(thread.p50 / plain.p50 for plain, thread in pairs),
        "sagas_per_s": median(turn.rate for turn in turns["trio-asyncio"]),
        "thread_sagas_per_s": median(turn.rate for turn in turns["thread"]),
    }
