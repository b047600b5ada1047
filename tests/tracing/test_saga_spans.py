"""The spans of a saga are pure functions of its records: each attempt has one, with one id, whatever happens."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sagakit.definition.plan import Plan
from sagakit.engine import (
    ENDS,
    AttemptEnded,
    Compensating,
    Complete,
    Error,
    InputEvent,
    Loaded,
    NotHappened,
    Record,
    RetryLater,
    StepLog,
    decode,
    encode,
)
from sagakit.engine.table import UNDER_WAY
from sagakit.naming import encode_id
from sagakit.tracing import SagaSpan, TraceParent, attempt_ref, parent_in, root_ref, spans_between

from tests.engine.draws import Dice
from tests.engine.plans import drawn_plan
from tests.engine.remote_world import RemoteWorld, remote_plans
from tests.engine.world import World
from tests.repository.records import record as stored

STARTER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def made(**fields: Any) -> Record:
    return structs.replace(stored("1"), run="r", **fields)


def reread(record: Record) -> Record:
    """Return a record as another worker reads it."""
    loaded = decode(f"T.{encode_id(record.saga_id)}", encode(record))
    assert isinstance(loaded, Loaded)
    return loaded.record


class TracedWorld(World):
    """A world in which each durable write is turned into spans, as a worker does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.spans: list[SagaSpan] = []
        self.before: Record | None = None
        self.wrong: list[str] = []
        super().__init__(*args, **options)

    def _write(self, record: Record) -> None:
        ended = spans_between(self.before, record)
        before = None if self.before is None else reread(self.before)
        assert ended == spans_between(before, reread(record)), "another worker has other spans"
        self.spans += ended
        self.before = record
        super()._write(record)

    def _turn(self, *events: InputEvent) -> None:
        before, known = self.record, len(self.spans)
        super()._turn(*events)
        for event in events:
            if isinstance(event, AttemptEnded) and before.status not in ENDS:
                self._compare(before, event, self.spans[known:])

    def _compare(self, before: Record, event: AttemptEnded, ended: list[SagaSpan]) -> None:
        """Note an attempt whose span says something else than what the worker was told."""
        log = before.steps[event.step]
        ref = attempt_ref(before, event.step, event.call)
        [span] = [span for span in ended if span.ref == ref]
        kind = {"running": "do", "checking": "check", "undoing": "undo"}[log.state]
        told = _told(kind, event, in_doubt=log.unsure)
        if told is not None and span.attributes["sagakit.outcome"] != told and not log.arrived:
            self.wrong.append(f"{event}: {told} is told as {span.attributes['sagakit.outcome']}")


def _told(kind: str, event: AttemptEnded, *, in_doubt: bool) -> str | None:
    match event.result:
        case Complete() | NotHappened():
            return "done"
        case _ if kind == "undo":
            return "failed"
        case _ if kind == "check":
            return "unknown"
        case Compensating():
            return "rejected"
        case RetryLater(not_done=not_done) | Error(not_done=not_done):
            return "not done" if not_done and not in_doubt else "unknown"
        case _:
            return None


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_each_attempt_has_one_span_and_the_saga_has_one(first: int) -> None:
    """Random sagas with crashes, takeovers, refusals and undos: the outcomes are those that the worker was told."""
    for seed in range(first, first + 100):
        dice = Dice(seed)
        world = TracedWorld(drawn_plan(dice), dice)
        world.run()
        _judge(world)
        assert world.wrong == []


def _judge(world: TracedWorld | TracedRemoteWorld) -> None:
    record = world.record
    expected = Counter[int]()
    for step, log in record.steps.items():
        over = log.state not in UNDER_WAY or record.status in ENDS
        expected.update(attempt_ref(record, step, call).span_id for call in range(1, log.calls + over))
    over = record.status in ENDS and (record.parent is None or record.released)
    expected.update([root_ref(record).span_id] * over)
    assert Counter(span.ref.span_id for span in world.spans) == expected
    assert set(expected.values()) <= {1}
    assert all(span.start <= span.end for span in world.spans)


class TracedRemoteWorld(RemoteWorld):
    """A world of remote steps in which each durable write is turned into spans."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.spans: list[SagaSpan] = []
        self.before: Record | None = None
        super().__init__(*args, **options)

    def _write(self, record: Record) -> None:
        self.spans += spans_between(self.before, record)
        self.before = record
        super()._write(record)


@settings(max_examples=40)
@given(plan=remote_plans(), data=st.data())
def test_each_attempt_of_another_service_has_one_span(plan: Plan, data: Any) -> None:
    world = TracedRemoteWorld(plan, data)
    world.run()
    _judge(world)


def test_the_ids_are_the_same_in_every_release() -> None:
    """Workers of two releases export spans of one saga, and participants name spans that are not exported yet."""
    record = made()
    assert root_ref(record) == (0x2D4E1F50C09A9D7ADCE7355EF7FDD27A, 0x51A3C1F382991256, None)
    assert attempt_ref(record, "charge", 1).span_id == 0x89DC1B8B62A9D75B


def test_a_saga_belongs_to_the_trace_of_its_starter() -> None:
    record = made(trace={"traceparent": STARTER, "tracestate": "a=b"})
    assert root_ref(record)[::2] == (0x0AF7651916CD43DD8448EB211C80319C, True)
    assert root_ref(record).span_id == root_ref(made()).span_id


def test_a_step_that_was_renamed_keeps_the_ids_of_its_spans() -> None:
    record = made(steps={"pay": StepLog(state="running", calls=1, named="charge")})
    assert attempt_ref(record, "pay", 1) == attempt_ref(made(), "charge", 1)


@pytest.mark.parametrize(
    "text",
    ["", "00-0-0-01", STARTER[:-3], STARTER.upper(), f"ff{STARTER[2:]}", f"{STARTER}-more",
     STARTER.replace("b7ad6b7169203331", "0" * 16), STARTER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)],
)  # fmt: skip
def test_a_bad_traceparent_counts_as_none(text: str) -> None:
    assert parent_in({"traceparent": text}) is None


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)])
def test_a_traceparent_is_read_and_written(flags: str, sampled: bool) -> None:
    found = parent_in({"traceparent": STARTER[:-2] + flags})
    assert found == TraceParent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, sampled)
    assert str(found) == f"{STARTER[:-2]}0{sampled:d}"
    assert parent_in({"traceparent": f"01{STARTER[2:]}-more"}) is not None, "a later version may have more fields"


def test_no_trace_context_has_no_parent() -> None:
    assert parent_in(None) is None
    assert parent_in({"tracestate": "a=b"}) is None
