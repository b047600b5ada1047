"""A record never outgrows its message: everything from outside, and everything that follows from it, is bounded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import (
    AttemptEnded,
    AttemptResult,
    Call,
    Compensating,
    Complete,
    Error,
    Inbound,
    InboundKind,
    InputEvent,
    Limits,
    MakeOutput,
    OutputMade,
    Prepared,
    Published,
    Record,
    Sender,
    apply,
    create,
    effects,
    encode,
    questions,
)
from sagakit.engine.turn import ITEM_SIZE, makes_room
from sagakit.messages.limits import limits_for

LONG = "x" * 1_000_000


def test_no_text_of_a_message_makes_a_record_large(simple: Plan) -> None:
    kinds: tuple[InboundKind, ...] = ("signal", "report", "retry", "mark-undone", "compensate", "cancel", "terminate")
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    for kind in kinds:
        message = Inbound(id=LONG, kind=kind, by=LONG, reason=LONG, step=LONG, code=LONG, run="r", refused="")
        refused = structs.replace(message, id=LONG + "2", refused=LONG)
        record = apply(simple, record, [refused, message], 1.0)
    assert record.status == "failed"
    assert len(encode(record)) < 10_000


def test_an_output_that_is_too_large_makes_the_saga_stuck_and_can_be_asked_for_again(simple: Plan) -> None:
    plan = structs.replace(simple, has_output=True)
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    half = msgspec.Raw(msgspec.json.encode("x" * 300_000))
    record = apply(plan, record, [AttemptEnded("a", 1, Complete(half))], 1.0)
    record = apply(plan, record, [AttemptEnded("b", 1, Complete())], 2.0)
    assert questions(plan, record) == [MakeOutput()]
    record = apply(plan, record, [OutputMade(half)], 3.0)
    assert (record.status, record.stuck) == ("stuck", "output: too large: 300,002 bytes, 224,282 are left")
    record = apply(plan, record, [Inbound(id="1", kind="retry")], 4.0)
    assert questions(plan, record) == [MakeOutput()]
    assert apply(plan, record, [OutputMade(msgspec.Raw(b"1"))], 5.0).status == "completed"


# -------------------------------------------------------------------- children

BIG = msgspec.Raw(msgspec.json.encode("x" * 300_000))


def ended_child(node: str) -> Inbound:
    child = Sender("C", f"1/r/{node}/1", "c")
    return Inbound(id=f"{node} ended", kind="child-ended", run="r", sender=child, step=node, payload=BIG)


def family(*, pivot: bool = False) -> tuple[Plan, Record]:
    """Return a saga with two children, both being started, and with room for the output of one."""
    undo = UndoPlan(retries=Retries(), timeout=30)
    first = NodePlan(name="one", kind="child", child_type="C", undo=undo)
    second = NodePlan(name="two", kind="child", child_type="C", undo=None if pivot else undo)
    plan = Plan(saga_type="T", nodes=(first, structs.replace(second, position="pivot") if pivot else second))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    return plan, apply(plan, record, [AttemptEnded("one", 1, Complete()), ended_child("one")], 1.0)


STARTED = AttemptEnded("two", 1, Complete())
LOST = AttemptEnded("two", 1, Error(error="lost"))


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
        record = apply(plan, record, [AttemptEnded(step, record.steps[step].calls, Complete())], 9.0)
    assert record.outcome is not None
    assert record.outcome.compensated == ("one", "two")


def test_a_pivot_whose_output_is_too_large_is_held_for_a_person() -> None:
    plan, record = family(pivot=True)
    record = apply(plan, record, [STARTED, ended_child("two")], 2.0)
    assert record.status == "stuck"
    assert "output is too large" in (record.stuck or "")
    given = Inbound(id="1", kind="complete-step", step="two", payload=msgspec.Raw(b'"kept elsewhere"'))
    assert apply(plan, record, [given], 3.0).status == "completed"
    refused = apply(plan, record, [Inbound(id="1", kind="compensate")], 3.0)
    assert refused.steps["two"].state == "doubtful", "it is done, so nobody may say that it is not"


# ------------------------------------------------------------------------ items

PAYLOAD = 1024 * 1024
LIMITS = Limits(results=PAYLOAD // 2)
QUICK = Retries(max_attempts=1, initial_interval=0.0, max_interval=0.0)
TOP = msgspec.Raw(msgspec.json.encode("x" * (PAYLOAD // 4 - 2)))


def spread(items: int, *, given: int = 2) -> tuple[Plan, Record]:
    """Return a saga with an each over so many items with `given` bytes together; the plan lets all run at once."""
    undo = UndoPlan(retries=Retries(max_attempts=2, initial_interval=0.0, max_interval=0.0), timeout=30)
    each = NodePlan(name="e" * 64, kind="each", prepared=True, max_concurrent=10_000, retries=QUICK, undo=undo)
    plan = Plan(saga_type="T", nodes=(each, NodePlan(name="last", after=(each.name,), retries=QUICK)))
    record = create(
        plan, saga_id="i" * 512, run="r" * 32, input=TOP, owner="w", now=0.0, correlation_id="c" * 512, limits=LIMITS
    )
    value = msgspec.Raw(msgspec.json.encode("x" * (given - 2)))
    return plan, apply(plan, record, [Prepared(each.name, value=value, items=items)], 1.0, limits=LIMITS)


def calls_of(plan: Plan, record: Record) -> list[Call]:
    return [effect for effect in effects(plan, record) if isinstance(effect, Call)]


def driven(
    plan: Plan,
    record: Record,
    result: Callable[[Call], AttemptResult],
    *,
    limits: Limits = LIMITS,
    payload: int = PAYLOAD,
) -> Record:
    """Run until nothing is called any more: all calls end, then half of the outbox is confirmed, and again."""
    for _ in range(1000):
        calls = calls_of(plan, record)
        assert len(calls) <= limits.outbox
        assert len(encode(record)) <= payload
        for call in calls:
            record = apply(
                plan, record, [AttemptEnded(call.step, call.call, result(call))], record.updated_at, limits=limits
            )
            assert len(encode(record)) <= payload
        seq = makes_room(record, limits)
        if seq is None and not calls:
            return record
        if seq is not None:
            after = apply(plan, record, [Published(seq)], record.updated_at, limits=limits)
            if after is record and not calls:
                return record  # the outbox is full, and no attempt is held back for that
            record = after
    raise AssertionError("no end")


def test_attempts_are_held_back_while_events_gather_and_go_on_when_they_are_out() -> None:
    plan, record = spread(300)
    first = calls_of(plan, record)
    assert len(first) == LIMITS.outbox - len(record.outbox)
    ends = [AttemptEnded(call.step, call.call, Complete()) for call in first]
    held = apply(plan, record, ends, 2.0, limits=LIMITS)
    assert calls_of(plan, held) == []
    assert held.status == "running"
    assert apply(plan, held, [], 2.0, limits=LIMITS) is held
    seq = makes_room(held, LIMITS)
    assert seq is not None
    assert seq == held.outbox[len(held.outbox) // 2].seq
    assert len(calls_of(plan, apply(plan, held, [Published(seq)], 2.0, limits=LIMITS))) == seq
    assert driven(plan, record, lambda call: Complete()).status == "completed"


@pytest.mark.long
def test_the_most_items_with_the_longest_errors_fit_all_the_way_there_and_back() -> None:
    size = LIMITS.items * ITEM_SIZE
    plan, record = spread(LIMITS.items, given=LIMITS.results - size - 10_000)

    def result(call: Call) -> AttemptResult:
        if call.kind == "undo":
            return Error(error="x" * 10_000)
        return Complete() if call.step != "last" else Compensating(code="c" * 10_000, detail=BIG)

    record = driven(plan, record, result)
    assert record.status == "stuck"
    assert len(record.steps) == LIMITS.items + 2
    assert {log.state for step, log in record.steps.items() if "/" in step} == {"undo_failed"}
    record = apply(plan, record, [Inbound(id="1", kind="retry")], record.updated_at, limits=LIMITS)
    assert driven(plan, record, lambda call: Complete()).status == "failed"


def test_the_largest_record_fits_on_a_server_with_small_messages() -> None:
    """The record has the largest input, results and errors, and as many messages of every kind as a saga takes."""
    payload = 64 * 1024
    limits = limits_for(payload, max_isolated_crashes=3)
    plan, _ = spread(0)
    value = msgspec.Raw(msgspec.json.encode("x" * (payload // 4 - 2)))
    record = create(plan, saga_id="i" * 36, run="r" * 32, input=value, owner="w" * 40, now=0.0, limits=limits)
    items = limits.results // ITEM_SIZE // 2
    given = msgspec.Raw(msgspec.json.encode("x" * (limits.results - items * ITEM_SIZE - 1_000)))
    record = apply(plan, record, [Prepared(plan.nodes[0].name, value=given, items=items)], 1.0, limits=limits)

    def flooded(record: Record) -> Record:
        kinds: tuple[InboundKind, ...] = ("signal", "report", "mark-undone", "complete-step")
        for kind in kinds:
            messages = [Inbound(id=f"{number:032}", kind=kind, step=LONG, by=LONG) for number in range(400)]
            record = apply(plan, record, messages, 1.0, limits=limits)
            assert len(encode(record)) <= payload
        return record

    def result(call: Call) -> AttemptResult:
        return Error(error=LONG) if call.kind == "undo" or call.step == "last" else Complete(msgspec.Raw(b"1"))

    record = driven(plan, flooded(record), result, limits=limits, payload=payload)
    assert (record.status, len(record.steps)) == ("stuck", items + 2)
    ended = apply(plan, flooded(record), [Inbound(id="t", kind="terminate", by=LONG, reason=LONG)], 2.0, limits=limits)
    assert ended.status == "failed"
    assert len(encode(ended)) <= payload


def test_refused_items_keep_short_reasons() -> None:
    plan, record = spread(LIMITS.items)
    detail = msgspec.Raw(msgspec.json.encode({"why": "x" * 4_000}))
    record = driven(plan, record, lambda call: Compensating(code="c" * 500, detail=detail))
    assert record.status == "failed"
    assert record.failure is not None
    assert record.failure.detail == detail, "the saga itself keeps all of it, once"
    assert len(record.failure.code or "") == 500


@pytest.mark.parametrize("items", [LIMITS.items + 1, 1_000])
def test_items_for_which_the_record_has_no_room_are_refused(items: int) -> None:
    limits = LIMITS if items > LIMITS.items else Limits(results=100_000)
    plan, record = spread(0)
    record = create(plan, saga_id="1", run="r", input=TOP, owner="w", now=0.0, limits=limits)
    value = msgspec.Raw(msgspec.json.encode(list(range(items))))
    record = apply(plan, record, [Prepared(plan.nodes[0].name, value=value, items=items)], 1.0, limits=limits)
    assert record.failure is not None
    assert ("too many items" if items > LIMITS.items else "too large") in (record.failure.reason or "")


def test_results_leave_room_for_the_entries_of_the_items_to_come() -> None:
    plan, record = spread(LIMITS.items)
    result = msgspec.Raw(msgspec.json.encode("x" * 498))
    record = driven(plan, record, lambda call: Complete(result) if call.kind == "do" else Complete())
    assert record.failure is not None
    assert "result too large" in (record.failure.reason or "")


def test_a_saga_is_not_stuck_while_some_of_its_items_are_held_back() -> None:
    each = NodePlan(
        name="each", kind="each", position="after", after=("a",), prepared=True, max_concurrent=2, retries=QUICK
    )
    plan = Plan(saga_type="T", nodes=(NodePlan(name="a", position="pivot"), each))
    limits = Limits(outbox=4)  # with the event that tells the items
    record = create(plan, saga_id="1", run="r", input=TOP, owner="w", now=0.0, limits=limits)
    events: list[InputEvent] = [
        AttemptEnded("a", 1, Complete()),
        Prepared("each", value=msgspec.Raw(b"[1,2,3]"), items=3),
        AttemptEnded("each/0", 1, Error(error="no")),
        AttemptEnded("each/1", 1, Complete()),
    ]
    for event in events:
        record = apply(plan, record, [event], 1.0, limits=limits)
    assert (record.status, calls_of(plan, record)) == ("running", [])
    record = apply(plan, record, [Published(record.next_event - 1)], 2.0, limits=limits)
    assert [call.step for call in calls_of(plan, record)] == ["each/2"]
    record = apply(plan, record, [AttemptEnded("each/2", 1, Complete())], 3.0, limits=limits)
    assert (record.status, record.stuck) == ("stuck", "each/0: blocked, no")


def test_a_check_takes_the_place_of_the_attempt_that_it_asks_about() -> None:
    plan = Plan(saga_type="T", nodes=(NodePlan(name="a", on_unknown="check", has_check=True, retries=QUICK),))
    limits = Limits(outbox=1)
    record = create(plan, saga_id="1", run="r", input=TOP, owner="w", now=0.0, limits=limits)
    assert calls_of(plan, record) == []
    record = apply(plan, record, [Published(1)], 1.0, limits=limits)
    record = apply(plan, record, [AttemptEnded("a", 1, Error(error="lost"))], 2.0, limits=limits)
    assert [call.kind for call in calls_of(plan, record)] == ["check"]
