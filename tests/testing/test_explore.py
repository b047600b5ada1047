"""The kit goes through every single fault, finds planted bugs, and names the schedule."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from sagakit import Context, Failed, Reject, Saga, child, each, signal, step, timer
from sagakit.engine import delay
from sagakit.engine.turn import Turn
from sagakit.errors import DefinitionError
from sagakit.testing import (
    BrokenPromise,
    CallFault,
    Faults,
    MessageAt,
    Send,
    Trace,
    WriteFault,
    explore,
    faults,
    simulate,
    stub,
)
from typer.testing import CliRunner

from tests.testing.shops import Bug, Fetch, nothing_is_lost


def test_a_saga_without_a_bug() -> None:
    report = explore(Fetch, 3, invariant=nothing_is_lost)
    assert report.fault_points_reached == report.fault_points_planned > 100
    assert min(report.completed, report.failed, report.stuck) > 0
    assert "no broken promise" in str(report)


@pytest.mark.long
def test_a_saga_that_starts_later() -> None:
    report = explore(Fetch, 3, invariant=nothing_is_lost, after=timedelta(days=30))
    straight = explore(Fetch, 3, invariant=nothing_is_lost)
    assert report.fault_points_reached == report.fault_points_planned > straight.fault_points_planned
    assert min(report.completed, report.failed, report.stuck) > 0


def test_p10_a_delayed_saga_that_seems_to_wait_and_runs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = delay.begin_in_time

    def forgetful(turn: Turn) -> None:
        at = turn.record.starts_at
        begin(turn)
        turn.record.starts_at = at

    monkeypatch.setattr(sys.modules["sagakit.engine.apply"], "begin_in_time", forgetful)
    with pytest.raises(BrokenPromise, match=r"P10: .* is called before the saga starts"):
        explore(Fetch, 3, after=timedelta(days=30))


class Note(Saga[int]):
    """A saga whose steps have no results, so that their types do not show if they were called."""

    @step
    async def write(self, number: int, ctx: Context) -> None: ...

    @write.compensate
    async def erase(self, number: int, written: None, ctx: Context) -> None: ...

    @step(write, compensate=None)
    async def send(self, number: int, written: None, ctx: Context) -> None: ...


def test_p3_what_is_in_doubt_is_not_taken_for_done() -> None:
    report = explore(Note, 1)
    assert report.fault_points_reached == report.fault_points_planned > 50


@pytest.mark.parametrize(
    ("bug", "found", "schedule"),
    [
        ("not idempotent", "free, . were sold", "killed before write"),
        (
            "assumes a result",
            "P4: the compensation of reserve fails by itself, called with no result",
            "reserve, action",
        ),
        ("lets a late action through", "free, . were sold", "reserve, action, call 1: late"),
    ],
)
def test_a_planted_bug_is_found(bug: Bug, found: str, schedule: str) -> None:
    with pytest.raises(BrokenPromise, match=found) as caught:
        explore(lambda: Fetch(bug), 3, invariant=nothing_is_lost)
    text = str(caught.value)
    assert f"schedule: {schedule}" in text
    replay = text.partition("faults=")[2].rstrip(")\n") + ")"
    names = {"Faults": Faults, "CallFault": CallFault, "MessageAt": MessageAt, "WriteFault": WriteFault}
    saga = Fetch(bug)
    trace = simulate(saga, 3, faults=eval(replay + ")" * (replay.count("(") - replay.count(")")), names))
    if not trace.broken:
        with pytest.raises(AssertionError, match=found):
            nothing_is_lost(saga, trace)


def test_a_result_that_differs_is_found_without_an_invariant() -> None:
    class Count(Saga[str]):
        def __init__(self) -> None:
            self.calls = 0

        @step(compensate=None)
        async def count(self, input: str, ctx: Context) -> int:
            self.calls += 1
            return self.calls

    with pytest.raises(BrokenPromise, match="is not idempotent: called twice under one key it answered 1 and then 2"):
        explore(Count, "x")


def test_a_saga_that_differs_from_run_to_run_is_found() -> None:
    makes: list[int] = []

    class Moody(Saga[str]):
        def __init__(self) -> None:
            makes.append(1)
            self.long = len(makes) < 4

        @step(compensate=None)
        async def first(self, input: str, ctx: Context) -> None: ...

        @step(compensate=None, when=lambda saga_input, ctx: len(makes) < 6)
        async def second(self, input: str, ctx: Context) -> None: ...

    with pytest.raises(BrokenPromise, match="a planned fault was never reached"):
        explore(Moody, "x")


# ------------------------------------------------------------- every kind of node


class Part(Saga[int, int]):
    @step
    async def make(self, number: int, ctx: Context) -> int:
        return number

    @make.compensate
    async def scrap(self, number: int, made: int | None, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> int:
        return ctx.result(Part.make)


class Build(Saga[int, int], deadline=timedelta(days=400)):
    @step
    async def plan(self, size: int, ctx: Context) -> list[int]:
        return list(range(size))

    @plan.compensate
    async def forget(self, size: int, plan: list[int] | None, ctx: Context) -> None: ...

    part = child(Part, lambda size, ctx: size)
    approved = signal(bool, timeout=timedelta(hours=4))
    rest = timer(timedelta(days=30))

    @each(plan, lambda plan: plan, max_concurrent=2, after=[rest, approved, part])
    async def weld(self, size: int, item: int, ctx: Context) -> str:
        return f"seam {item}"

    @weld.compensate
    async def cut(self, size: int, item: int, seam: str | None, ctx: Context) -> None: ...

    @step(weld, pivot=True)
    async def ship(self, size: int, seams: Sequence[str], ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> int:
        return len(ctx.result(Build.weld)) + ctx.result(Build.part)


@pytest.mark.long
def test_p1_to_p10_a_saga_with_every_kind_of_node() -> None:
    report = explore(Build, 3, send=[Send(Build.approved, True)], also=lambda: [Part()])
    assert report.fault_points_reached == report.fault_points_planned > 300


def test_stubs_stand_in_for_services() -> None:
    saga = stub(Build, {Build.plan: [1, 2], Build.weld: "seam"})
    trace = simulate(saga, 2, send=[Send(Build.approved, True)], also=[Part()])
    trace.check_promises()
    assert trace.calls.before(Build.plan, Build.ship)
    assert not trace.calls.before(Build.ship, Build.plan)
    assert trace.calls.names()[-1] == "ship"


def test_a_signal_that_nobody_sends() -> None:
    trace = simulate(Build(), 3, also=[Part()])
    trace.check_promises()
    assert isinstance(trace.outcome, Failed)
    assert trace.outcome.cause == "deadline"


# ------------------------------------------------------------------- simulate


def test_the_same_seed_gives_the_same_run() -> None:
    schedule = Faults((WriteFault(4, "crash_after"), CallFault("reserve", "do", "timeout")))
    runs = [simulate(Fetch(), 3, faults=schedule) for _ in range(3)]
    assert len({(str(run), tuple(run.events), run.writes) for run in runs}) == 1
    assert runs[0].restarts == 1


def test_an_asyncio_saga_and_plain_functions(tmp_path: Path) -> None:
    import asyncio

    class Mixed(Saga[str, str], backend="asyncio"):
        @step(compensate=None)
        async def first(self, input: str, ctx: Context) -> str:
            await asyncio.sleep(0)
            return input

        @step(compensate=None)
        def second(self, input: str, ctx: Context) -> str:
            return ctx.result(Mixed.first) * 2

        def output(self, input: str, ctx: Context) -> str:
            return ctx.result(Mixed.second)

    trace = simulate(Mixed(), "ab")
    trace.check_promises()
    assert trace.outcome is not None
    assert getattr(trace.outcome, "output", None) == "abab"


def test_a_coroutine_function_behind_a_wrapper_is_awaited_as_in_a_worker() -> None:
    def traced(fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(fn)
        def call(*args: Any) -> Any:
            return fn(*args)

        return call

    class Wrapped(Saga[str]):
        @step
        async def charge(self, input: str, ctx: Context) -> str:
            return input

        @charge.compensate
        @traced
        async def refund(self, input: str, charged: str | None, ctx: Context) -> None: ...

        @step(charge, pivot=True)
        async def ship(self, input: str, charged: str, ctx: Context) -> None:
            raise Reject("no")

    trace = simulate(Wrapped(), "x")
    assert not trace.stuck
    assert isinstance(trace.outcome, Failed)
    assert trace.outcome.compensated == ("charge",)


@pytest.mark.long
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagakit.cli.app import app

    done = CliRunner().invoke(app, ["explore", "examples.orders"])
    assert done.exit_code == 0, done.output
    assert "fault points planned" in done.output
    assert "no broken promise" in done.output
    wrong = CliRunner().invoke(app, ["explore", "examples.place_order"])
    assert wrong.exit_code == 2
    assert "has no Exploration" in wrong.output


def test_faults_is_a_strategy() -> None:
    from hypothesis import given, settings

    @settings(max_examples=100)
    @given(weather=faults(Fetch))
    def schedule(weather: Faults) -> None:
        saga = Fetch()
        trace = simulate(saga, 3, faults=weather)
        trace.check_promises()
        nothing_is_lost(saga, trace)

    schedule()


def test_the_trace_names_the_schedule() -> None:
    trace = Trace(Faults((MessageAt(2),)))
    trace.broken.append("P6: it was cancelled, and completed")
    with pytest.raises(BrokenPromise, match="cancel after write 2") as caught:
        trace.check_promises()
    assert "Faults(faults=(MessageAt(number=2, name=''),))" in str(caught.value)


def test_a_missing_child_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"pass instances of Part as also="):
        simulate(Build(), 2)
    with pytest.raises(DefinitionError, match=r"pass instances of Part as also="):
        explore(Build, 2)
