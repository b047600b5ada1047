"""A record never outgrows its message: what comes from outside, and what comes of it, is bounded."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import (
    Call,
    Complete,
    Ended,
    Error,
    Inbound,
    InboundKind,
    InputEvent,
    MakeOutput,
    OutputMade,
    Record,
    apply,
    create,
    effects,
    encode,
    questions,
)

LONG = "x" * 1_000_000


def test_no_text_of_a_message_makes_a_record_large(simple: Plan) -> None:
    kinds: tuple[InboundKind, ...] = ("retry", "mark-undone", "compensate", "child-ended", "terminate")
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    for kind in kinds:
        message = Inbound(id=kind, kind=kind, by=LONG, reason=LONG, step=LONG, code=LONG)
        record = apply(simple, record, [message], 1.0)
    assert record.status == "failed"
    assert len(encode(record)) < 10_000


def test_an_output_that_is_too_large_makes_the_saga_stuck_and_can_be_asked_for_again(simple: Plan) -> None:
    plan = structs.replace(simple, has_output=True)
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    half = msgspec.Raw(msgspec.json.encode("x" * 300_000))
    record = apply(plan, record, [Ended("a", 1, Complete(half))], 1.0)
    record = apply(plan, record, [Ended("b", 1, Complete())], 2.0)
    assert questions(plan, record) == [MakeOutput()]
    record = apply(plan, record, [OutputMade(half)], 3.0)
    assert (record.status, record.stuck) == ("stuck", "output: too large: 300,002 bytes, 224,282 are left")
    record = apply(plan, record, [Inbound(id="1", kind="retry")], 4.0)
    assert questions(plan, record) == [MakeOutput()]
    assert apply(plan, record, [OutputMade(msgspec.Raw(b"1"))], 5.0).status == "completed"


# -------------------------------------------------------------------- children

BIG = msgspec.Raw(msgspec.json.encode("x" * 300_000))


def ended_child(node: str) -> Inbound:
    return Inbound(id=f"{node} ended", kind="child-ended", step=node, payload=BIG)


def family(*, pivot: bool = False) -> tuple[Plan, Record]:
    """Two children side by side, of whose outputs the record has room for one. Both are being started."""
    undo = UndoPlan(retries=Retries(), timeout=30)
    first = NodePlan(name="one", kind="child", child_type="C", undo=undo)
    second = NodePlan(name="two", kind="child", child_type="C", undo=None if pivot else undo)
    plan = Plan(saga_type="T", nodes=(first, structs.replace(second, position="pivot") if pivot else second))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    return plan, apply(plan, record, [Ended("one", 1, Complete()), ended_child("one")], 1.0)


STARTED = Ended("two", 1, Complete())
LOST = Ended("two", 1, Error(error="lost"))


@pytest.mark.parametrize(
    "events",
    [
        [STARTED, ended_child("two")],
        [ended_child("two"), STARTED],
        [ended_child("two"), LOST],
        [LOST, ended_child("two")],
    ],
    ids=["while it is awaited", "before its start is known", "its start is lost", "its start is to be tried again"],
)
def test_a_child_whose_output_is_too_large_turns_its_parent_back_and_is_undone(events: list[InputEvent]) -> None:
    plan, record = family()
    for event in events:
        record = apply(plan, record, [event], record.updated_at)
    assert record.status == "compensating"
    assert record.failure is not None
    assert (record.failure.cause, record.failure.step) == ("exhausted", "two")
    assert record.failure.reason == "the child's output is too large: 300,002 bytes, 224,286 are left"
    assert len(encode(record)) < 350_000
    undos = [effect.step for effect in effects(plan, record) if isinstance(effect, Call)]
    assert sorted(undos) == ["one", "two"]
    for step in undos:
        record = apply(plan, record, [Ended(step, record.steps[step].calls, Complete())], 9.0)
    assert record.outcome is not None
    assert record.outcome.undone == ("one", "two")


def test_a_pivot_whose_output_is_too_large_is_held_for_a_person() -> None:
    plan, record = family(pivot=True)
    record = apply(plan, record, [STARTED, ended_child("two")], 2.0)
    assert record.status == "stuck"
    assert "output is too large" in (record.stuck or "")
    given = Inbound(id="1", kind="complete-step", step="two", payload=msgspec.Raw(b'"kept elsewhere"'))
    assert apply(plan, record, [given], 3.0).status == "completed"
    refused = apply(plan, record, [Inbound(id="1", kind="compensate")], 3.0)
    assert refused.steps["two"].state == "doubtful", "it is done, so nobody may say that it is not"
