"""A benchmark as data, its cases, and the results of a run: medians, and every single run."""

from __future__ import annotations

import multiprocessing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple

import msgspec
import trio

Labels = dict[str, str | int]
Figures = dict[str, float]
Measure = Callable[[], Awaitable[Figures]]
Progress = Callable[[int, Labels, Figures], None]


class Case(NamedTuple):
    """A row of a table: its labels, and a function that measures it once. `measure` is sent to another process."""

    labels: Labels
    measure: Measure


class Row(msgspec.Struct, kw_only=True):
    """The result of one case: the median of each figure, and the runs."""

    labels: Labels
    median: Figures
    runs: list[Figures]


class Result(msgspec.Struct, kw_only=True):
    """The content of a JSON file. `summary`: figures across rows, made from the runs of the same round."""

    bench: str
    title: str
    taken_at: str
    surroundings: dict[str, str]
    figures: dict[str, str]
    rows: list[Row]
    summary: Figures = {}
    not_shown: str

    def row(self, **labels: str | int) -> Row | None:
        """Return the first row with these labels."""
        return next((row for row in self.rows if labels.items() <= row.labels.items()), None)


class Bench(NamedTuple):
    """Description of a benchmark. `figures`: each key of its JSON, with its unit and meaning."""

    name: str
    figures: Mapping[str, str]
    not_shown: str
    summarise: Callable[[Sequence[Row]], Figures] = lambda rows: {}


def take(
    bench: Bench,
    cases: Sequence[Case],
    *,
    title: str,
    runs: int,
    surroundings: dict[str, str],
    progress: Progress = lambda run, labels, figures: None,
    fresh: bool = True,
) -> Result:
    """Measure each case `runs` times: all cases once, then all again, so that a drift affects all cases.

    `fresh`: each measurement in a separate process, so that none inherits another's memory.
    """
    found: list[list[Figures]] = [[] for _ in cases]
    for run in range(runs):
        for case, figures in zip(cases, found, strict=True):
            figures.append(_fresh(case.measure) if fresh else trio.run(case.measure))
            progress(run, case.labels, figures[-1])
    rows = [
        Row(
            labels=case.labels, median={name: median(run[name] for run in figures) for name in figures[0]}, runs=figures
        )
        for case, figures in zip(cases, found, strict=True)
    ]
    return Result(
        bench=bench.name,
        title=title,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        surroundings=surroundings,
        figures=dict(bench.figures),
        rows=rows,
        summary=bench.summarise(rows),
        not_shown=bench.not_shown,
    )


def _fresh(measure: Measure) -> Figures:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(trio.run, measure).result()


def paired(over: Row, under: Row, figure: str) -> float:
    """Return the median, over the runs, of one row's figure divided by the other's of the same round.

    Rounds in which the other figure was 0 are left out: a short run may use less CPU than the system counts. The result
    is 0 if all were.
    """
    rounds = [(one[figure], other[figure]) for one, other in zip(over.runs, under.runs, strict=True)]
    return median([one / other for one, other in rounds if other] or [0.0])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of the sorted values do not exceed; 0 for an empty list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
