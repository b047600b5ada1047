"""The kit goes through every fault of a command and its reply, and finds planted bugs of the rules for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec import structs
from sagakit import Completed, Saga, remote
from sagakit.engine import SendCommand
from sagakit.engine import remote as remote_rules
from sagakit.engine.table import advance
from sagakit.errors import DefinitionError
from sagakit.participant import Service
from sagakit.system.saga.remote_calls import RemoteCalls
from sagakit.testing import (
    BrokenPromise,
    CallFault,
    Exploration,
    Faults,
    MessageAt,
    RemoteFault,
    Trace,
    explore,
    faults,
    simulate,
    stub,
)

from tests.engine.mutants import replies
from tests.engine.mutants.modules import Patch
from tests.engine.remote_world import REMOTE_CELLS
from tests.testing.remote_shop import FEW, Ask, Buy, Misread, books_balance, services
from tests.testing.shops import Fetch


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="sagakit.participant")


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Return the cells of the table of steps that the test visits."""
    cells: set[tuple[str, str]] = set()

    def noted(table: Any, state: Any, move: Any, *, of: str, name: str) -> Any:
        cells.add((state, move))
        return advance(table, state, move, of=of, name=name)

    monkeypatch.setattr("sagakit.engine.turn.advance", noted)
    return cells


def test_every_fault_of_a_command_and_its_reply(visited: set[tuple[str, str]]) -> None:
    report = explore(Buy, 3, services=services, invariant=books_balance)
    assert report.fault_points_reached == report.fault_points_planned > 300
    assert min(report.completed, report.failed, report.stuck) > 0
    assert REMOTE_CELLS - visited == set(ELSEWHERE)


ELSEWHERE: dict[tuple[str, str], tuple[type[Saga[int]], RemoteFault]] = {
    ("sent", "ask"): (Ask, RemoteFault("charge", "do", "unanswered")),
    ("asked", "refuse"): (Ask, RemoteFault("charge", "do", "reject_overdue")),
    ("asked", "block"): (Ask, RemoteFault("charge", "do", "unreadable_overdue")),
    ("sent", "wait_check"): (Misread, RemoteFault("ship", "do", "unknown_late")),
}
"""The cells that no schedule of Buy can visit, each with a definition and a single fault that visits it."""


@pytest.mark.parametrize("cell", ELSEWHERE, ids=".".join)
def test_a_single_fault_visits_each_other_cell(cell: tuple[str, str], visited: set[tuple[str, str]]) -> None:
    saga, fault = ELSEWHERE[cell]
    simulate(saga(), 3, services=services(Buy()), faults=Faults((fault,))).check_promises()
    assert cell in visited


def older_attempt_believed(patch: Patch) -> None:
    changes = remote_rules._changes

    def taken_for_the_last(record: Any, about: Any, message: Any) -> bool:
        return changes(record, about, structs.replace(message, attempt=record.steps[about.node.name].calls))

    patch.setattr(remote_rules, "_changes", taken_for_the_last)


def late_success_dropped(patch: Patch) -> None:
    changes = remote_rules._changes

    def dropped(record: Any, about: Any, message: Any) -> bool:
        late = message.answer == "done" and record.steps[about.node.name].state in remote_rules._GIVEN_UP
        return not (late and about.kind == "do") and changes(record, about, message)

    patch.setattr(remote_rules, "_changes", dropped)


def success_after_the_end_dropped(patch: Patch) -> None:
    patch.setattr("sagakit.system.inbound.applier.tells_news", lambda record, message: False)


def undone_before_what_came_after_it(patch: Patch) -> None:
    patch.setattr("sagakit.engine.backward._those_after_settled", lambda turn, node: True)


def sent_before_the_record_is_durable(patch: Patch) -> None:
    send = RemoteCalls.send

    def of_the_next_attempt(self: RemoteCalls, effect: SendCommand, record: Any) -> None:
        send(self, structs.replace(effect, attempt=effect.attempt + 1), record)

    patch.setattr(RemoteCalls, "send", of_the_next_attempt)


def silence_believed_at_once(patch: Patch) -> None:
    patch.setattr("sagakit.system.signs_of_life._left", lambda sign, steady: 0.0)


MUTANTS: dict[Callable[[Patch], None], str] = {
    older_attempt_believed: "P3: attempt 2 of .* ended by a reply to another attempt",
    late_success_dropped: "P3: a success of charge was told, and nothing says so",
    success_after_the_end_dropped: "P3: a success of charge was told, and nothing says so",
    silence_believed_at_once: "P3: attempt 1 of ship ended by a reply to another attempt",
    undone_before_what_came_after_it: "P2: charge.undo before ship is undone",
    replies.command_made_anew_each_time: "is sent again with other bytes",
    sent_before_the_record_is_durable: "P1: a command of charge is sent without a durable record",
    replies.keys_not_burnt: "the invariant does not hold",
}


IN_ONE_STEP = {older_attempt_believed, success_after_the_end_dropped}
"""Bugs that a saga of one step shows, in which there is less to explore before they are found."""


class Pay(Saga[int]):
    charge = remote("payments.charge", str, send=lambda total, ctx: total, compensate="payments.refund", retry=FEW)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_bug_is_found(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    explored: Exploration[Any, Any]
    explored = (
        Exploration(make=lambda: stub(Pay, {Pay.charge: "paid"}), input=3)
        if mutant in IN_ONE_STEP
        else Exploration(make=Buy, input=3, services=services, invariant=books_balance)
    )
    with pytest.raises(BrokenPromise, match=MUTANTS[mutant]):
        explored.run()


def test_a_success_that_is_told_when_the_undo_is_out_is_recorded_as_late() -> None:
    """A cancel gives up the first attempt of a step, of which nothing was in doubt before."""
    schedule = Faults((RemoteFault("charge", "do", "reply_late"), MessageAt(4)))
    trace = _run(schedule)
    assert trace.record is not None
    assert trace.record.steps["charge"].late
    assert "step.charge.late" in trace.events


def _run(schedule: Faults) -> Trace:
    saga = Buy()
    trace = simulate(saga, 3, services=services(saga), faults=schedule)
    trace.check_promises()
    books_balance(saga, trace)
    return trace


def test_a_participant_that_falls_silent_is_checked_before_its_timeout() -> None:
    """Its work was done, and nobody waits for the rest of the 30 seconds to find out."""
    silent = Faults((RemoteFault("ship", "do", "silent"),))
    trace = _run(silent)
    asked = [(one.kind, one.at) for one in trace.calls if one.step == "ship"]
    assert [kind for kind, _ in asked] == ["do", "check"]
    assert 4.9 < asked[1][1] - asked[0][1] < 10
    assert trace.outcome == Completed("sent")


def test_a_success_after_the_end_is_kept_as_a_dead_letter() -> None:
    trace = _run(Faults((RemoteFault("charge", "do", "reply_after_end", commands=8),)))
    assert trace.record is not None
    assert trace.record.status == "failed"


def test_a_message_that_comes_when_the_saga_is_stuck_is_waited_for() -> None:
    """The cancel undoes what a result that cannot be read has left blocked."""
    trace = _run(Faults((RemoteFault("charge", "do", "unreadable_overdue"), MessageAt(6))))
    assert trace.record is not None
    assert (trace.record.status, trace.record.steps["charge"].state) == ("failed", "undone")


def test_stubs_serve_remote_steps() -> None:
    trace = simulate(stub(Buy, {Buy.charge: "paid", Buy.ship: "sent"}), 3)
    trace.check_promises()
    assert trace.outcome == Completed("sent")
    assert trace.calls.before(Buy.charge, Buy.ship)


def test_random_faults_are_a_strategy() -> None:
    @settings(max_examples=50, deadline=None)
    @given(weather=faults(Buy))
    def schedule(weather: Faults) -> None:
        _run(weather)

    schedule()


def test_mistakes_are_named() -> None:
    with pytest.raises(DefinitionError, match=r"nobody serves payments\.charge, .*pass the services .* services="):
        simulate(Buy(), 3)
    with pytest.raises(DefinitionError, match="write a RemoteFault"):
        _run(Faults((CallFault("charge", "do", "raise"),)))
    with pytest.raises(DefinitionError, match="there is no kind 'unreadable'"):
        _run(Faults((RemoteFault("charge", "undo", "unreadable"),)))
    with pytest.raises(DefinitionError, match="charge has no heartbeat_timeout="):
        _run(Faults((RemoteFault("charge", "do", "silent"),)))
    with pytest.raises(DefinitionError, match="charge has no check"):
        _run(Faults((RemoteFault("charge", "check", "twice"),)))
    with pytest.raises(DefinitionError, match="not a remote step: write a CallFault"):
        simulate(Fetch(), 3, faults=Faults((RemoteFault("pack", "do", "twice"),)))
    with pytest.raises(DefinitionError, match="give what makes fresh services"):
        explore(Buy, 3, services=[Service("payments")])  # type: ignore[arg-type]
