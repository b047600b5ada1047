"""P11 in the engine: what becomes of a saga whose worker dies each time."""

from __future__ import annotations

import msgspec
import pytest
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import SUSPECT, Adopted, Complete, Ended, Isolated, Limits, Record, apply, create

LIVES = SUSPECT + Limits().lone_deaths


def plan(attempts: int | None, *, undo_attempts: int | None = None) -> Plan:
    retries = Retries(attempts=attempts, first=0.0, most=0.0)
    undo = UndoPlan(retries=Retries(attempts=undo_attempts, first=0.0, most=0.0), timeout=30)
    return Plan(saga_type="T", nodes=(NodePlan(name="a", retries=retries, undo=undo), NodePlan(name="b", after=("a",))))


def after_deaths(plan: Plan, record: Record, deaths: int) -> Record:
    """Whoever runs it dies of it; a suspect is always given its turn alone."""
    for death in range(deaths):
        now = record.updated_at + 10
        record = apply(plan, record, [Isolated()], now)
        record = apply(plan, record, [Adopted(f"w{death}", 0.5)], now + 1)
    return record


@pytest.mark.parametrize("attempts", [None, 3, LIVES - 1, LIVES, LIVES + 1])
def test_p11_an_action_that_kills_its_worker_is_undone_whatever_its_own_budget(attempts: int | None) -> None:
    """Also when both budgets are spent by the same death."""
    saga = plan(attempts)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = after_deaths(saga, record, min(LIVES, attempts or LIVES))
    assert record.status == "compensating"
    assert record.failure is not None
    record = apply(saga, record, [Isolated()], record.updated_at + 10)
    assert record.steps["a"].state == "undoing"
    record = apply(saga, record, [Ended("a", record.steps["a"].calls, Complete())], record.updated_at + 1)
    assert record.status == "failed"


def test_p11_a_compensation_that_kills_its_worker_is_stuck() -> None:
    saga = plan(1)
    record = create(saga, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = after_deaths(saga, record, 1)
    assert record.status == "compensating"
    record = after_deaths(saga, record, LIVES)
    assert record.status == "stuck"
    assert "while it ran alone" in (record.stuck or "")
