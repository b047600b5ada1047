"""Jobs at work: a verb for many sagas is written down, sent, shown as it goes on, and can be cut off and resumed."""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import msgspec

from sagakit.cli.exits import UsageError
from sagakit.cli.printing import note, shown
from sagakit.client import job_start
from sagakit.client.job_answers import reason_of
from sagakit.client.job_lines import verdict_line
from sagakit.client.job_run import JobRun, JobVerdict
from sagakit.client.jobs import Hold, Holder, Job, JobItem, JobPages, Jobs
from sagakit.client.json_shapes import VerdictLine
from sagakit.client.trials import Answer
from sagakit.engine import Record
from sagakit.errors import InvalidConfig
from sagakit.store.ports import Wire, WireEvent

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking
    from sagakit.client.deletion_run import DeletionRun

CUT_OFF = 130
"""Exit code of a command that a signal has cut off."""
LISTEN = 0.1
"""Seconds between two looks at whether a signal has come."""
DeleteOne: TypeAlias = Callable[[JobItem, bool], Awaitable[Answer]]
"""A function that deletes one saga of a job. It is told if an earlier run may have deleted the saga."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The way in which a job is run: sagas a second, seconds for each saga, and the file for its report."""

    rate: float | None = None
    timeout: float
    report: str | None = None

    def check(self) -> None:
        """Raise UsageError unless these can be used. The file of the report is made, if there is none."""
        if not 0 <= self.timeout < inf:
            raise UsageError(f"--timeout {self.timeout:g}: give seconds, 0 or more")
        if self.rate is not None and not 0 < self.rate < inf:
            raise UsageError(f"--rate {self.rate:g}: give sagas a second, more than 0")
        if self.report is not None:
            self._opened().close()

    @contextmanager
    def opened(self) -> Iterator[BinaryIO | None]:
        """Open the file of the report, to append to it."""
        if self.report is None:
            yield None
            return
        with self._opened() as file:
            yield file

    def _opened(self) -> BinaryIO:
        assert self.report is not None
        try:
            return Path(self.report).open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"--report {self.report}: {error.strerror}") from None


class JobResult(msgspec.Struct, frozen=True):
    """The outcome of one run of a job. `is_cut_off` is true if a person or a signal has stopped it."""

    lines: Sequence[VerdictLine]
    is_cut_off: bool
    is_done: bool


def wire_of(sagas: Looking) -> Wire:
    """Return the connection. Raises InvalidConfig for a store that has none, and so can keep no job."""
    if sagas.wire is None:
        raise InvalidConfig("jobs need a NATS server: a store in memory keeps nothing")
    return sagas.wire


def jobs_of(sagas: Looking) -> Jobs:
    """Return the jobs of the namespace. Raises InvalidConfig for a store that can keep none."""
    return Jobs(wire_of(sagas), sagas.names)


async def begin(
    sagas: Looking,
    job: Job,
    items: Sequence[JobItem],
    pace: Pace,
    since: Mapping[str, int],
    delete: DeleteOne | None = None,
) -> JobResult:
    """Write a job and run it. `since` is what `positions` returned before the plan was made. Raises StoreError."""
    pages, hold = await job_start.begin_job(jobs_of(sagas), job, items, now=sagas.now())
    note(f"job {job.id}; if it is cut off: {resume_words(job)}")
    return await _AtWork(sagas, pages, pace, delete).run(hold, since)


async def resume(
    sagas: Looking, id: str, verb: str, step: str, by: str, pace: Pace, delete: DeleteOne | None = None
) -> JobResult:
    """Go on with a job that was cut off. Raises UnknownJob, JobHeld, UsageError, JobsMissing, StoreError."""
    jobs = jobs_of(sagas)
    job = (await jobs.read(id)).job
    if (job.verb, job.step) != (verb, step or job.step):
        raise UsageError(f"job {id} is another one: {resume_words(job)}")
    hold = await jobs.hold(id, job_start.holder_of(by), _tell_of)
    pages = await jobs.read(id)  # only now: whoever ran it a moment ago may have written more verdicts
    left = sum(not item.verdict for item in pages.items())
    note(shown(f"job {id}: {verb}{f' {job.step}' if job.step else ''} by {job.by or 'nobody'}, {job.reason!r}"))
    note(f"{job.sagas:,} sagas, {job.sagas - left:,} have their verdicts, {left:,} are left")
    return await _AtWork(sagas, pages, pace, delete).run(hold, None)


def resume_words(job: Job) -> str:
    """Return the command that goes on with a job."""
    name = f" {job.step}" if job.verb == "signal" else ""
    return f"sagakit {job.verb}{name} --resume {job.id}"


def _tell_of(other: Holder) -> None:
    note(shown(f"{other} has run it a moment ago: waiting for a few seconds to see if it still does"))


class _AtWork:
    """A run of a job at a terminal, or without a terminal."""

    def __init__(self, sagas: Looking, pages: JobPages, pace: Pace, delete: DeleteOne | None) -> None:
        self._sagas = sagas
        self._wire = wire_of(sagas)
        self._delete = delete
        self._pages = pages
        self._pace = pace
        self._lines: dict[str, VerdictLine] = {}
        self._report: BinaryIO | None = None
        self._show: Callable[[int], None] = _nothing
        self._is_cut_off = False

    async def run(self, hold: Hold, since: Mapping[str, int] | None) -> JobResult:
        """Run the job until it is over or a signal comes. Raises JobHeld, StoreError."""
        job = self._pages.job
        run, work = self._run_of(job, hold, since)
        is_done = False
        try:
            with self._pace.opened() as self._report, _progress(job) as self._show, _signals() as heard:
                if since is not None:  # the plan has found sagas that nobody can run
                    for item in self._pages.items():
                        if item.verdict:
                            self._tell(JobVerdict(item, item.verdict, item.why))
                over = self._wire.event()

                async def run_it() -> None:
                    nonlocal is_done
                    is_done = await work()
                    over.set()

                await self._wire.together(run_it, partial(self._stop_on_signal, run, heard, over))
        finally:
            if not is_done:
                note(f"job {job.id}: {job.done:,} of {job.sagas:,} sagas have their verdicts; {resume_words(job)}")
        lines = [self._lines[item.key] for item in self._pages.items() if item.key in self._lines]
        return JobResult(lines, self._is_cut_off, is_done)

    def _run_of(
        self, job: Job, hold: Hold, since: Mapping[str, int] | None
    ) -> tuple[JobRun | DeletionRun, Callable[[], Awaitable[bool]]]:
        """Return the run, which can be stopped, and what runs it."""
        wire, now = self._wire, self._sagas.now
        if self._delete is not None:
            from sagakit.client.deletion_run import DeletionRun

            deletion = DeletionRun(
                wire, self._pages, hold, delete=self._delete, told=self._tell, now=now, rate=self._pace.rate
            )
            return deletion, deletion.run
        run = JobRun(
            wire, self._sagas.names, self._pages, hold, explain=self._explain, told=self._tell, now=now,
            timeout=self._pace.timeout, rate=self._pace.rate,
        )  # fmt: skip
        return run, partial(run.run, since)

    async def _stop_on_signal(self, run: JobRun | DeletionRun, heard: deque[int], over: WireEvent) -> None:
        while not await self._wire.within(LISTEN, over):
            while heard:
                if self._is_cut_off:  # asked twice: the marks are not waited for
                    raise KeyboardInterrupt
                self._is_cut_off = True
                name = signal.Signals(heard.popleft()).name
                note(f"\n{name}: writing down what is known; once more ends it at once")
                run.stop()

    def _explain(self, item: JobItem, verdict: str, record: Record | None) -> str:
        return reason_of(self._pages.job, item, verdict, record)

    def _tell(self, settled: JobVerdict) -> None:
        item, verdict, why = settled
        line = verdict_line(self._pages.job, item, verdict, why)
        self._lines[item.key] = line
        if self._report is not None:
            self._report.write(msgspec.json.encode(line) + b"\n")
        self._show(len(self._lines))


@contextmanager
def _signals() -> Iterator[deque[int]]:
    """Hear the signals that end a command. Yields their numbers, in order. For the main thread."""
    heard: deque[int] = deque()
    before = {
        one: signal.signal(one, lambda number, _: heard.append(number)) for one in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(_: int) -> None:
    """Show nothing."""


@contextmanager
def _progress(job: Job) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal. Yield what moves it to a number of sagas."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    before = job.done
    columns = TextColumn(job.verb), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(job.verb, total=job.sagas, completed=before)
        yield lambda done: progress.update(bar, completed=before + done)
