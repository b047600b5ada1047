"""A saga whose record was lost comes back from its events, and its books balance, wherever the events break off."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import NodePlan, OnUnknown, Plan, Retries, UndoPlan
from sagakit.engine import (
    ENDS,
    Adopted,
    AttemptEnded,
    Call,
    Compensating,
    Complete,
    Error,
    Inbound,
    NotHappened,
    Prepared,
    Record,
    apply,
    create,
    effects,
    migrated,
)
from sagakit.engine.carried import payload_of
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.engine.inputs import InboundKind, InputEvent
from sagakit.engine.rebuilding import rebuilt
from sagakit.engine.record import Failure, UndoRequest
from sagakit.engine.replay import replay
from sagakit.engine.verdicts import known_verdict

STEPS = ("hotel", "flight", "card")
RETRY = Inbound(id="r", kind="retry", by="ann", reason="rebuilt")
CANCEL = Inbound(id="x", kind="cancel", reason="not wanted any more")


def plan_of(on_unknown: OnUnknown) -> Plan:
    undo = UndoPlan(retries=Retries(max_attempts=3), timeout=30.0)
    check = on_unknown == "check"
    return Plan(
        saga_type="Trip",
        nodes=tuple(
            NodePlan(name=name, after=STEPS[:n][-1:], undo=undo, on_unknown=on_unknown, has_check=check)
            for n, name in enumerate(STEPS)
        ),
    )


class FakeParticipants:
    """Three participants that keep their contract: once a key, and an undo makes its action's key unusable."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.effects: set[str] = set()
        self.burnt: set[str] = set()

    def call(self, call: Call) -> Complete | Compensating | NotHappened:
        if call.kind == "check":
            return Complete(msgspec.Raw(b"1")) if call.action_key in self.effects else NotHappened()
        if call.kind == "undo":
            self.burnt.add(call.action_key)
            self.effects.discard(call.action_key)
            return Complete()
        if call.step == self.refuses or call.key in self.burnt:
            return Compensating(code="no")
        self.effects.add(call.key)
        return Complete(msgspec.Raw(b"1"))

    @property
    def steps(self) -> list[str]:
        return sorted(key.split("/", 3)[3].rsplit("/", 2)[0] for key in self.effects)


def lived(plan: Plan, record: Record, services: FakeParticipants, calls: int = 1000) -> tuple[Record, list[CloudEvent]]:
    """Let a saga go on for so many calls; return its record, and all events so far that the record had."""
    told: dict[int, CloudEvent] = {}
    now = record.updated_at
    while True:
        for one in record.outbox:
            event = decode_event(payload_of(record, one))
            assert event is not None
            told[one.seq] = event
        open_calls = [effect for effect in effects(plan, record) if isinstance(effect, Call)]
        if record.status in ENDS or record.status == "stuck" or not calls:
            return record, [told[number] for number in sorted(told)]
        now += 60.0
        ends = [AttemptEnded(call.step, call.call, services.call(call)) for call in open_calls[:1]]
        calls -= 1
        record = apply(plan, record, ends, now)


def told_after(events: Sequence[CloudEvent], plan: Plan) -> Record:
    """Return the record that is rebuilt from the events, as a worker has adopted it."""
    last = list(replay(events))[-1].record
    found = rebuilt(plan, last, next_event=events[-1].sequence + 1, now=9000.0, by="ann", why="the bucket was lost")
    return apply(plan, found, [Adopted("w2")], 9001.0)


@pytest.mark.parametrize("on_unknown", ["retry", "check", "undo"])
@pytest.mark.parametrize("refuses", ["", "card", "flight"])
@pytest.mark.parametrize("calls", range(8))
def test_the_books_balance_wherever_the_events_break_off(on_unknown: OnUnknown, refuses: str, calls: int) -> None:
    plan = plan_of(on_unknown)
    first = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    for known in range(1, 12):
        services = FakeParticipants(refuses)
        record, events = lived(plan, first, services, calls)
        if known > len(events):
            break
        back = told_after(events[:known], plan)
        if back.status in ENDS:
            assert (back.status, back.run, back.input) == (record.status, "r", first.input)
            continue
        assert (back.status, back.halted, back.outbox[0].suffix) == ("stuck", True, "operator.rebuild")
        assert not [effect for effect in effects(plan, back) if isinstance(effect, Call)], "nothing moves yet"
        end, _ = lived(plan, apply(plan, back, [RETRY], 9002.0), services)
        assert end.status in ENDS, end.stuck
        assert services.steps == (sorted(STEPS) if end.status == "completed" else []), (known, end.status)


@pytest.mark.parametrize("refuses", ["", "flight", "card"])
@pytest.mark.parametrize("calls", range(4))
@pytest.mark.parametrize("kind", ["cancel", "deadline"])
def test_a_request_to_undo_waits_until_it_is_known_whether_the_pivot_was_passed(
    kind: str, refuses: str, calls: int
) -> None:
    """Nothing may be undone while the pivot may have happened, so the saga goes forward until that is known."""
    plan = with_pivot(plan_of("retry"), "flight")
    first = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    if kind == "deadline":
        first = structs.replace(first, deadline_at=8000.0)
    for known in range(1, 12):
        services = FakeParticipants(refuses)
        _, events = lived(plan, first, services, calls)
        if known > len(events):
            break
        back = told_after(events[:known], plan)
        if kind == "deadline":
            back = structs.replace(back, deadline_at=8000.0)
        asked = [CANCEL] if kind == "cancel" else []
        end, _ = lived(plan, apply(plan, back, [*asked, RETRY], 9002.0), services)
        if refuses == "card":  # after the pivot nothing is refused: a person has to help
            assert (end.status, services.steps) == ("stuck", ["flight", "hotel"])
        elif refuses == "flight":
            assert (end.status, services.steps) == ("failed", [])
        else:
            assert (end.status, services.steps) == ("completed", sorted(STEPS))


def canceled_at_the_pivot(message: Inbound, *then: InputEvent) -> Record:
    """Return the rebuilt record of a saga that was canceled while its pivot was under way; `then` follows."""
    plan = with_pivot(plan_of("check"), "flight")
    first = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    record, events = lived(plan, first, FakeParticipants(), 1)
    record = apply(plan, record, [message], 2000.0)
    assert known_verdict(record, message) == "waiting"
    for event in then:
        record = apply(plan, record, [event], 2001.0)
    _, more = lived(plan, record, FakeParticipants(), 0)
    return told_after([*events, *more], plan)


@pytest.mark.parametrize("kind", ["cancel", "compensate"])
def test_a_request_of_a_person_to_undo_that_waits_is_kept(kind: InboundKind) -> None:
    plan = with_pivot(plan_of("check"), "flight")
    back = canceled_at_the_pivot(Inbound(id="x", kind=kind, by="ann", reason="not wanted"))
    assert (back.status, back.undo_request) == ("stuck", UndoRequest("cancelled", "not wanted"))
    again = apply(plan, back, [RETRY], 9002.0)
    assert (again.status, again.undo_request) == ("running", back.undo_request), "the pivot may have happened"
    end, _ = lived(plan, again, FakeParticipants())
    assert (end.status, end.failure) == ("failed", Failure("cancelled", reason="not wanted"))


def test_a_request_that_has_become_too_late_or_was_granted_is_kept_no_longer() -> None:
    plan = with_pivot(plan_of("check"), "flight")
    message = Inbound(id="x", kind="cancel", by="ann", reason="not wanted")
    late = canceled_at_the_pivot(message, AttemptEnded("flight", 1, Complete(msgspec.Raw(b"1"))))
    assert late.undo_request is None
    assert apply(plan, late, [RETRY], 9002.0).status == "running"
    granted = canceled_at_the_pivot(message, AttemptEnded("flight", 1, Error(error="no", not_done=True)))
    assert (granted.undo_request, granted.failure) == (None, Failure("cancelled", reason="not wanted"))
    ended = canceled_at_the_pivot(message, Inbound(id="t", kind="terminate", by="ann", reason="over"))
    assert (ended.status, ended.undo_request) == ("failed", None)


def test_a_cancel_of_a_program_is_in_no_event_and_is_lost() -> None:
    assert canceled_at_the_pivot(CANCEL).undo_request is None


def with_pivot(plan: Plan, name: str) -> Plan:
    """Return the plan with a pivot: what comes after it is not undone."""
    after = plan.descendants[name] | {name}
    nodes = [
        structs.replace(
            node,
            undo=None if node.name in after else node.undo,
            position="pivot" if node.name == name else "after" if node.name in after else "before",
        )
        for node in plan.nodes
    ]
    return structs.replace(plan, nodes=tuple(nodes))


def test_an_ask_is_asked_about_again_and_nothing_is_called() -> None:
    plan = plan_of("ask")
    first = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    _, events = lived(plan, first, services := FakeParticipants(), 1)
    back = apply(plan, told_after(events, plan), [RETRY], 9002.0)
    assert (back.status, back.steps["hotel"].state, back.steps["flight"].state) == ("stuck", "done", "asked")
    assert services.steps == ["hotel"]


def test_a_compensate_undoes_also_what_no_event_tells_of() -> None:
    plan = plan_of("retry")
    first = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    _, events = lived(plan, first, services := FakeParticipants(), 2)
    back = told_after(events[:1], plan)
    back = apply(plan, back, [Inbound(id="c", kind="compensate", by="ann", reason="give it up"), RETRY], 9002.0)
    end, _ = lived(plan, back, services)
    assert (end.status, services.steps) == ("failed", [])


def test_a_message_that_was_applied_before_the_loss_is_known() -> None:
    plan = plan_of("retry")
    first = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    _, before = lived(plan, first, FakeParticipants(), 0)
    _, after = lived(plan, apply(plan, told_after(before, plan), [RETRY], 9002.0), FakeParticipants(), 0)
    back = told_after([*before, *after], plan)
    assert known_verdict(back, RETRY) == "accepted"
    assert apply(plan, back, [RETRY], 9003.0) is back


BOXES = Plan(
    saga_type="Trip",
    nodes=(
        NodePlan(
            name="boxes", kind="each", prepared=True, max_concurrent=2, undo=UndoPlan(retries=Retries(), timeout=30.0)
        ),
        NodePlan(name="send", after=("boxes",)),
    ),
)


@pytest.mark.parametrize("calls", range(4))
@pytest.mark.parametrize("verb", ["retry", "compensate"])
def test_items_under_way_are_called_again_under_their_keys_or_undone(verb: str, calls: int) -> None:
    """The event that tells of the items comes before any of them is called."""
    services = FakeParticipants()
    first = create(BOXES, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    asked = Prepared("boxes", value=msgspec.Raw(b"[7,8,9]"), items=3)
    _, events = lived(BOXES, apply(BOXES, first, [asked], 1000.0), services, calls)
    assert [event.type.split(".", 2)[-1] for event in events[:2]] == ["started", "step.boxes.spread"]
    for known in range(2, len(events) + 1):
        back = told_after(events[:known], BOXES)
        assert (back.steps["boxes"].given, back.steps["boxes"].items) == (asked.value, 3)
        if verb == "compensate":
            back = apply(BOXES, back, [Inbound(id="c", kind="compensate", by="ann", reason="no")], 9002.0)
        end, _ = lived(BOXES, apply(BOXES, back, [RETRY], 9003.0), again := copied(services))
        expected = ["boxes/0", "boxes/1", "boxes/2", "send"] if verb == "retry" else []
        assert (end.status, again.steps) == ("completed" if verb == "retry" else "failed", expected)


def copied(services: FakeParticipants) -> FakeParticipants:
    again = FakeParticipants(services.refuses)
    again.effects, again.burnt = {*services.effects}, {*services.burnt}
    return again


PAY = NodePlan(name="pay", position="pivot")
MANY = Plan(
    saga_type="Trip",
    nodes=(
        PAY,
        NodePlan(
            name="boxes", kind="each", position="after", after=("pay",), prepared=True, max_concurrent=100,
            retries=Retries(max_attempts=1),
        ),
    ),
)  # fmt: skip


def keys_of_calls(plan: Plan, record: Record) -> set[str]:
    return {effect.key for effect in effects(plan, record) if isinstance(effect, Call)}


def test_p3_items_that_an_operator_has_retried_are_called_again_under_their_new_keys() -> None:
    """All events of a retry of 40 items are told, and none of the attempts that it has started."""
    record = create(MANY, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    record = apply(MANY, record, [AttemptEnded("pay", 1, Complete())], 1001.0)
    record = apply(MANY, record, [Prepared("boxes", value=msgspec.Raw(b"[]"), items=40)], 1001.0)
    lost = [AttemptEnded(f"boxes/{number}", 1, Error(error="lost")) for number in range(40) if number != 7]
    record = apply(MANY, record, [*lost, AttemptEnded("boxes/7", 1, Complete())], 1002.0)
    record = apply(MANY, record, [RETRY], 1003.0)
    before = keys_of_calls(MANY, record)
    assert len(before) == 39
    _, events = lived(MANY, record, FakeParticipants(), 0)
    assert [event.type.split(".", 2)[-1] for event in events[-2:]] == ["stuck", "operator.retry"]
    assert events[-1].data["groups"] == {"boxes": {"2": "0-6,8-39"}}
    again = msgspec.structs.replace(RETRY, id="r2")
    assert keys_of_calls(MANY, apply(MANY, told_after(events, MANY), [again], 9002.0)) == before
    assert keys_of_calls(MANY, apply(MANY, told_after(events[:-1], MANY), [again], 9002.0)).isdisjoint(before)


def test_a_signal_that_was_given_a_second_chance_is_awaited_again() -> None:
    signal = NodePlan(name="said", kind="signal", position="after", after=("pay",), wait=10.0)
    plan = Plan(saga_type="Trip", nodes=(PAY, signal))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    record = apply(plan, record, [AttemptEnded("pay", 1, Complete())], 1001.0)
    record = apply(plan, record, [], 1012.0)
    assert (record.status, record.steps["said"].state) == ("stuck", "blocked")
    _, events = lived(plan, apply(plan, record, [RETRY], 1013.0), FakeParticipants(), 0)
    back = apply(plan, told_after(events, plan), [msgspec.structs.replace(RETRY, id="r2")], 9002.0)
    assert (back.status, back.steps["said"].state) == ("running", "awaiting")
    come = Inbound(id="s", kind="signal", step="said", payload=msgspec.Raw(b"1"))
    assert apply(plan, back, [come], 9003.0).status == "completed"


def test_an_audited_signal_is_taken_once_also_by_a_rebuilt_saga_whose_log_has_only_its_audit() -> None:
    signal = NodePlan(name="said", kind="signal", position="after", after=("pay",))
    plan = Plan(saga_type="Trip", nodes=(PAY, signal))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"7"), owner="w", now=1000.0)
    come = Inbound(id="s", kind="signal", step="said", payload=msgspec.Raw(b"1"), by="ann", reason="they called")
    after = apply(plan, record, [come], 1001.0)
    _, events = lived(plan, after, FakeParticipants(), 0)
    told = [event.type.split(".", 2)[-1] for event in events]
    at = told.index("operator.signal")
    assert told[at + 1] == "signalled.said"
    assert events[at].data == {"by": "ann", "reason": "they called", "step": "said"}
    whole, torn = told_after(events[: at + 2], plan), told_after(events[: at + 1], plan)
    assert known_verdict(whole, come) == "accepted"
    assert known_verdict(torn, come) is None, "it is not applied, so it can be sent again"
    assert apply(plan, torn, [come], 9002.0).steps["said"].arrived


def test_signals_that_a_migration_renames_in_a_circle_are_told_under_their_new_names() -> None:
    plan = Plan(saga_type="Trip", nodes=tuple(NodePlan(name=name, kind="signal") for name in "abcd"))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=1.0)
    told = [Inbound(id=step, kind="signal", step=step, payload=msgspec.Raw(b'"%b"' % step.encode())) for step in "abc"]
    record = apply(plan, record, told, 2.0)
    names: dict[str, str | None] = {"a": "b", "b": "a", "c": "c"}
    record = migrated(plan, record, input=msgspec.Raw(b"[]"), names=names, results={})
    events = [decode_event(payload_of(record, event)) for event in record.outbox]
    steps = list(replay([event for event in events if event is not None]))[-1].record.steps
    assert {name: (bytes(log.result), log.named) for name, log in steps.items()} == {
        "a": (b'"b"', "b"), "b": (b'"a"', "a"), "c": (b'"c"', ""),
    }  # fmt: skip
