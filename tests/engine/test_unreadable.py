"""A saga whose record cannot be read as a worker's types is stuck as it was, and `retry` continues it from there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import (
    Adopted,
    ArgumentsUnreadable,
    AttemptEnded,
    Call,
    Compensating,
    Complete,
    Decide,
    Decided,
    Error,
    Inbound,
    InputEvent,
    Prepare,
    Prepared,
    Record,
    apply,
    create,
    effects,
    questions,
)

TWO = Retries(max_attempts=2, initial_interval=1.0, max_interval=1.0)
UNDO = UndoPlan(retries=TWO, timeout=30)
LOST = Error(error="no answer")
UNREAD = ArgumentsUnreadable(error="the input cannot be read as R: no field `currency`")
RETRY = Inbound(id="retry", kind="retry", by="eve", reason="rolled back")


class Case:
    """A saga of this plan, with its history so far."""

    def __init__(self, *nodes: NodePlan, **fields: Any) -> None:
        self.plan = Plan(saga_type="T", nodes=nodes, **fields)
        self.now = 0.0
        self.record: Record = create(self.plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=self.now)

    def take(self, *events: InputEvent) -> None:
        """Apply events, one second later."""
        self.now += 10
        self.record = apply(self.plan, self.record, events, self.now)

    def end(self, step: str, result: Any) -> None:
        """End the step's open attempt with a result."""
        self.take(AttemptEnded(step, self.record.steps[step].calls, result))

    @property
    def calls(self) -> list[Call]:
        """Return the calls that the record asks for."""
        return [effect for effect in effects(self.plan, self.record) if isinstance(effect, Call)]

    @property
    def events(self) -> list[str]:
        """Return the events so far, without the saga's type."""
        return [event.suffix for event in self.record.outbox]

    def states(self) -> dict[str, str]:
        """Return the state of each step."""
        return {name: log.state for name, log in self.record.steps.items()}


def step(name: str, **fields: Any) -> NodePlan:
    """Return a policy with two attempts."""
    return NodePlan(**{"name": name, "retries": TWO, **fields})


def action(position: Any) -> Case:
    """Return a saga whose action has its second and last attempt open."""
    case = Case(step("a", position=position, undo=UNDO if position == "before" else None))
    case.end("a", Error(error="refused", not_done=True))
    case.take()
    return case


def check(position: Any) -> Case:
    """Return a saga whose check of an action in doubt has its second and last attempt open."""
    case = Case(step("a", position=position, on_unknown="check", has_check=True))
    case.end("a", LOST)
    case.end("a", LOST)
    case.take()
    return case


def undo(position: Any) -> Case:
    """Return a saga whose compensation has its second and last attempt open."""
    case = Case(step("a", undo=UNDO), step("b", after=("a",)))
    case.end("a", Complete(msgspec.Raw(b"7")))
    case.end("b", Compensating(code="no"))
    case.end("a", Error(error="refused", not_done=True))
    case.take()
    return case


CELLS = [
    (make, position)
    for make in (action, check, undo)
    for position in ("before", "pivot", "after")
    if make is not undo or position == "before"
]


@pytest.mark.parametrize(("make", "position"), CELLS)
def test_a_call_that_cannot_be_given_its_arguments_halts_the_saga_and_spends_nothing(make: Any, position: Any) -> None:
    case = make(position)
    (call,) = case.calls
    assert call.attempt == 2, "the last of its budget"
    forward = case.record.failure is None
    case.end("a", UNREAD)
    assert (case.record.status, case.record.halted) == ("stuck", True)
    assert case.record.stuck == f"a: {UNREAD.error}"
    assert case.record.steps["a"].error == UNREAD.error
    assert case.events[-1] == "stuck"
    assert (case.record.failure is None) == forward, "nothing is turned back for it"
    assert not case.calls
    case.take()
    assert not case.calls, "time changes nothing"
    case.take(Adopted("other"))
    assert not case.calls, "nor does another owner"
    case.take(RETRY)
    (again,) = case.calls
    assert (again.kind, again.key, again.attempt) == (call.kind, call.key, call.attempt)
    case.end("a", Complete())
    assert case.record.status == ("completed" if forward else "failed")


def test_a_call_that_fails_to_read_a_value_while_it_runs_is_in_doubt() -> None:
    """The function asked for another step's result, and may have done something before."""
    case = Case(step("a", position="pivot"))
    case.end("a", ArgumentsUnreadable(error="the result of b cannot be read", not_done=False))
    assert (case.record.halted, case.record.steps["a"].unsure) == (True, True)
    case.take(Inbound(id="c", kind="cancel"))
    case.take(RETRY)
    (call,) = case.calls
    assert (call.key, call.attempt) == ("T/1/r/a/do/1", 1)
    assert case.record.undo_request is not None, "the pivot may have happened: the cancel waits"


def test_an_unreadable_action_that_is_not_wanted_any_more_does_not_halt_the_saga() -> None:
    case = Case(step("a", undo=UNDO), step("b", undo=UNDO), step("c", undo=UNDO))
    case.end("a", Complete())
    case.end("b", Compensating(code="no"))
    case.end("c", UNREAD)
    assert (case.record.status, case.states()) == ("compensating", {"a": "undoing", "b": "not_done", "c": "not_done"})


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Complete(), "done"),
        (LOST, "doubtful"),
        (Compensating(code="no"), "not_done"),
        (UNREAD, "waiting"),
    ],
)
def test_other_calls_of_a_halted_saga_end_and_lead_to_nothing_before_an_operator_says_so(
    result: Any, state: str
) -> None:
    case = Case(step("a", undo=UNDO), step("b", undo=UNDO, retries=Retries(max_attempts=1)))
    case.end("a", UNREAD)
    case.end("b", result)
    assert (case.record.status, case.record.halted) == ("stuck", True)
    assert case.states() == {"a": "waiting", "b": state}
    assert not case.calls
    case.take(RETRY)
    turned_back = state in ("doubtful", "not_done")
    assert case.record.status == ("failed" if state == "not_done" else "compensating" if turned_back else "running")
    wanted = {"done": ["a"], "doubtful": ["b"], "not_done": [], "waiting": ["a", "b"]}
    assert [call.step for call in case.calls] == wanted[state]


def test_a_doubt_of_a_halted_saga_is_not_checked_before_an_operator_says_so() -> None:
    case = Case(step("a"), step("b", on_unknown="check", has_check=True, retries=Retries(max_attempts=1)))
    case.end("a", UNREAD)
    case.end("b", LOST)
    assert case.states() == {"a": "waiting", "b": "check_waiting"}
    case.take(RETRY)
    assert [call.kind for call in case.calls] == ["do", "check"]


def test_a_report_of_a_participant_does_not_continue_a_halted_saga() -> None:
    case = Case(step("a"), step("b", on_unknown="ask", retries=Retries(max_attempts=1)))
    case.end("b", LOST)
    case.end("a", UNREAD)
    case.take(Inbound(id="r", kind="report", step="b", payload=msgspec.Raw(b"7")))
    assert (case.states()["b"], case.record.status, case.record.halted) == ("done", "stuck", True)


def test_a_cancel_of_a_halted_saga_waits_until_an_operator_lets_it_go_on() -> None:
    case = Case(step("a", undo=UNDO), step("b", after=("a",), undo=UNDO))
    case.end("a", Complete())
    case.end("b", UNREAD)
    case.take(Inbound(id="c", kind="cancel"))
    assert (case.record.inbound[-1].verdict, case.record.status) == ("waiting", "stuck")
    case.take(RETRY)
    assert case.states() == {"a": "undoing", "b": "not_done"}


def test_a_halted_saga_can_be_terminated() -> None:
    case = Case(step("a"))
    case.end("a", UNREAD)
    case.take(Inbound(id="t", kind="terminate"))
    assert (case.record.status, case.record.halted) == ("failed", False)


@pytest.mark.parametrize("position", ["before", "pivot", "after"])
@pytest.mark.parametrize("question", [Decide, Prepare])
def test_a_question_that_cannot_be_given_its_arguments_halts_the_saga(question: Any, position: Any) -> None:
    asks = question is Decide
    node = NodePlan(
        name="b", after=("a",), position=position, condition=asks, prepared=not asks, kind="step" if asks else "each"
    )
    case = Case(step("a", undo=UNDO), node)
    case.end("a", Complete())
    assert questions(case.plan, case.record) == [question("b")]
    case.take((Decided if asks else Prepared)("b", error="no field `currency`", unreadable=True))
    assert (case.record.status, case.record.halted) == ("stuck", True)
    assert case.record.stuck == "b: no field `currency`"
    assert questions(case.plan, case.record) == []
    assert not case.calls
    case.take(RETRY)
    assert questions(case.plan, case.record) == [question("b")], "it is asked again"
    case.take(Decided("b", run=False) if asks else Prepared("b", msgspec.Raw(b"[]")))
    assert case.record.status == "completed"
