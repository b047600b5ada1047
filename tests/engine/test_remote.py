"""Steps that other services do, by the engine alone: every promise holds in random schedules of their messages."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sagakit.definition.plan import Endpoints, NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import Inbound, Limits, Prepared, ReplyAnswer, Unanswered, apply, create
from sagakit.engine.table import advance
from sagakit.errors import IllegalTransition

from tests.engine.mutants import replies
from tests.engine.mutants.modules import Mutant, Patch
from tests.engine.remote_world import REMOTE_CELLS, Broken, RemoteWorld, remote_plans

SELDOM = {
    ("asked", "block"), ("asked", "refuse"), ("check_sent", "block"), ("check_sent", "refuse"),
    ("check_waiting", "block"), ("sent", "wait_check"),
}  # fmt: skip
"""Moves that a reply brings which overtakes another one: one schedule in hundreds has them, and `explore` each."""


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="sagakit.participant")


@settings(settings.default, max_examples=200, deadline=None)
@given(remote_plans(), st.data())
def test_every_promise_holds_whatever_becomes_of_commands_and_replies(plan: Plan, data: Any) -> None:
    RemoteWorld(plan, data).run()


OLDER: list[ReplyAnswer] = ["not_done", "retry", "unknown"]


@pytest.mark.parametrize("answer", OLDER)
def test_a_reply_to_an_older_attempt_counts_only_if_it_settles_the_key(answer: ReplyAnswer) -> None:
    node = NodePlan(
        name="pay", kind="remote", prepared=True, endpoints=Endpoints(do="bank.pay", undo="bank.refund"),
        retries=Retries(max_attempts=3, initial_interval=1.0), undo=UndoPlan(retries=Retries(), timeout=10.0),
        timeout=10.0,
    )  # fmt: skip
    plan = Plan(saga_type="T", nodes=(node,))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    record = apply(plan, record, [Prepared("pay", msgspec.Raw(b"1"))], 0.0)
    record = apply(plan, record, [Unanswered("pay", 1)], 10.0)
    record = apply(plan, record, [], 20.0)
    assert (record.steps["pay"].state, record.steps["pay"].calls) == ("sent", 2)
    old = Inbound(id="x", kind="reply", key="T/1/r/pay/do/1", run="r", attempt=1, answer=answer)
    assert apply(plan, record, [old], 21.0) is record
    done = structs.replace(old, answer="done", payload=msgspec.Raw(b"7"))
    assert apply(plan, record, [done], 21.0).steps["pay"].state == "done"


def test_a_reply_with_a_result_that_is_too_large_ends_its_attempt_unknown() -> None:
    """Such a reply was a dead letter, and the saga was told of silence."""
    node = NodePlan(
        name="pay", kind="remote", prepared=True, endpoints=Endpoints(do="bank.pay", undo="bank.refund"),
        retries=Retries(max_attempts=2, initial_interval=1.0), undo=UndoPlan(retries=Retries(), timeout=10.0),
        timeout=10.0,
    )  # fmt: skip
    plan, limits = Plan(saga_type="T", nodes=(node,)), Limits(results=1000)
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0, limits=limits)
    record = apply(plan, record, [Prepared("pay", msgspec.Raw(b"1"))], 0.0, limits=limits)
    large = msgspec.Raw(msgspec.json.encode("x" * 2000))
    for attempt, state in ((1, "waiting"), (2, "undo_sent")):
        done = Inbound(
            id="", kind="reply", key="T/1/r/pay/do/1", run="r", attempt=attempt, answer="done", payload=large
        )
        record = apply(plan, record, [done], attempt * 5.0, limits=limits)
        assert record.steps["pay"].state == state
        assert "result too large: 2,002 bytes" in (record.steps["pay"].error or "")
        record = apply(plan, record, [], attempt * 5.0 + 3.0, limits=limits)


def test_random_schedules_visit_the_cells_of_remote_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: set[tuple[str, str]] = set()

    def noted(table: Any, state: Any, move: Any, *, of: str, name: str) -> Any:
        visited.add((state, move))
        return advance(table, state, move, of=of, name=name)

    monkeypatch.setattr("sagakit.engine.turn.advance", noted)

    class AllVisited(Exception):
        pass

    @settings(settings.get_profile("hunt"), max_examples=2_000)
    @given(remote_plans(), st.data())
    def schedule(plan: Plan, data: Any) -> None:
        RemoteWorld(plan, data).run()
        if not REMOTE_CELLS - SELDOM - visited:
            raise AllVisited

    with pytest.raises(AllVisited):
        schedule()


@pytest.mark.parametrize("mutant", replies.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_world_of_remote_steps_condemns(mutant: Mutant, monkeypatch: Patch) -> None:
    mutant(monkeypatch)

    @settings(settings.get_profile("hunt"), max_examples=2_000)
    @given(remote_plans(), st.data())
    def schedule(plan: Plan, data: Any) -> None:
        RemoteWorld(plan, data).run()

    with pytest.raises((Broken, IllegalTransition), match=replies.MUTANTS[mutant]):
        schedule()
