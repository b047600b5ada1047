"""P11 in the engine: a saga whose worker dies each time is found out, and given up."""

from __future__ import annotations

import msgspec
import pytest
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import (
    SUSPECT,
    Adopted,
    AttemptEnded,
    Compensating,
    Complete,
    Inbound,
    Isolated,
    Limits,
    Record,
    Sender,
    apply,
    child_id,
    create,
    effects,
    goes_on,
)
from sagakit.engine.effects import Call

LIVES = SUSPECT + Limits().lone_deaths


def plan(attempts: int | None, *, undo_attempts: int | None = None) -> Plan:
    retries = Retries(max_attempts=attempts, initial_interval=0.0, max_interval=0.0)
    undo = UndoPlan(retries=Retries(max_attempts=undo_attempts, initial_interval=0.0, max_interval=0.0), timeout=30)
    return Plan(saga_type="T", nodes=(NodePlan(name="a", retries=retries, undo=undo), NodePlan(name="b", after=("a",))))


def after_deaths(plan: Plan, record: Record, deaths: int) -> Record:
    """Let every worker that runs the saga die; a suspect always gets its turn alone."""
    for death in range(deaths):
        now = record.updated_at + 10
        record = apply(plan, record, [Isolated()], now)
        record = apply(plan, record, [Adopted(f"w{death}", 0.5)], now + 1)
    return record


@pytest.mark.parametrize("attempts", [None, 3, LIVES - 1, LIVES, LIVES + 1])
def test_p11_an_action_that_kills_its_worker_is_undone_whatever_its_own_budget(attempts: int | None) -> None:
    """The rule holds also when one death uses up both budgets."""
    saga = plan(attempts)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = after_deaths(saga, record, min(LIVES, attempts or LIVES))
    assert record.status == "compensating"
    assert record.failure is not None
    record = apply(saga, record, [Isolated()], record.updated_at + 10)
    assert record.steps["a"].state == "undoing"
    record = apply(saga, record, [AttemptEnded("a", record.steps["a"].calls, Complete())], record.updated_at + 1)
    assert record.status == "failed"


def test_p11_a_compensation_that_kills_its_worker_is_stuck() -> None:
    saga = plan(1)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = after_deaths(saga, record, 1)
    assert record.status == "compensating"
    record = after_deaths(saga, record, LIVES)
    assert record.status == "stuck"
    assert "while it ran alone" in (record.stuck or "")


def undoing_a_child() -> tuple[Plan, Record]:
    """Return a saga that undoes its completed child, since the next step was refused."""
    forever = UndoPlan(retries=Retries(max_attempts=None, initial_interval=0.0, max_interval=0.0), timeout=30)
    saga = Plan(
        saga_type="T",
        nodes=(NodePlan(name="kid", kind="child", child_type="C", undo=forever), NodePlan(name="b", after=("kid",))),
    )
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = apply(saga, record, [AttemptEnded("kid", 1, Complete())], 1.0)
    kid = Sender("C", child_id(record, "kid", record.steps["kid"].group), "child")
    record = apply(saga, record, [Inbound(id="i", kind="child-ended", run="r", sender=kid, step="kid")], 2.0)
    record = apply(saga, record, [AttemptEnded("b", 1, Compensating(code="no"))], 3.0)
    assert record.steps["kid"].state == "undoing"
    return saga, record


def test_p11_a_saga_that_waits_for_the_undo_of_a_child_is_not_suspected_of_the_deaths_of_its_worker() -> None:
    """The steps of the child and of others run meanwhile; the parent runs nothing."""
    saga, record = undoing_a_child()
    for death in range(LIVES):
        record = apply(saga, record, [Adopted(f"w{death}", 0.5)], record.updated_at + 10)
        record = apply(saga, record, [], record.updated_at + 10)
    assert (record.status, record.recoveries, record.lone_deaths) == ("compensating", 0, 0)
    assert record.steps["kid"].state == "undoing"


def test_p11_a_suspect_that_undoes_a_child_shares_the_worker_meanwhile() -> None:
    """The child needs the worker, too."""
    saga, record = undoing_a_child()
    record = apply(saga, record, [Adopted("w2", 0.5)], 10.0)
    record.recoveries = SUSPECT
    assert apply(saga, record, [], 20.0) is record, "it is held"
    record = apply(saga, record, [Isolated()], 30.0)
    assert (record.steps["kid"].state, record.alone) == ("undoing", False)
    assert [effect.waits for effect in effects(saga, record) if isinstance(effect, Call)] == [True]


def test_p11_a_saga_with_more_lone_deaths_than_this_worker_allows_is_adopted_while_nothing_is_open() -> None:
    """`max_isolated_crashes` may differ from worker to worker."""
    saga = plan(None)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = after_deaths(saga, record, SUSPECT + 2)
    assert record.steps["a"].state == "waiting"
    record = apply(saga, record, [Adopted("w9", 0.5)], record.updated_at + 1, limits=Limits(lone_deaths=1))
    assert record.status == "running"


def test_a_saga_that_is_created_on_hold_opens_no_attempt_and_would_go_on() -> None:
    saga = plan(None)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0, hold=True)
    assert (record.status, record.steps) == ("running", {})
    assert goes_on(saga, record, 1.0, published=1, limits=Limits())
    record = apply(saga, record, [], 1.0)
    assert record.steps["a"].state == "running"
    assert not goes_on(saga, record, 1.0, published=1, limits=Limits())


def test_a_saga_whose_outbox_was_full_goes_on_once_its_events_are_in_the_log() -> None:
    saga, limits = plan(None), Limits(outbox=1)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0, limits=limits, hold=True)
    assert not goes_on(saga, record, 1.0, published=0, limits=limits)
    assert goes_on(saga, record, 1.0, published=1, limits=limits)
