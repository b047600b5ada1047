"""Events carry values of the record, and have the same bytes at each publication, whatever becomes of the record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sagakit.definition.plan import NodePlan, Plan, UndoPlan
from sagakit.definition.plan import Retries as R
from sagakit.engine import (
    AttemptEnded,
    Compensating,
    Complete,
    Inbound,
    Parent,
    Record,
    Sender,
    apply,
    create,
    migrated,
)
from sagakit.engine.carried import payload_of
from sagakit.engine.inputs import OutputMade

PLAN = Plan(
    saga_type="T",
    has_output=True,
    nodes=(
        NodePlan(name="a", undo=UndoPlan(retries=R(), timeout=1.0)),
        NodePlan(name="b", after=("a",), undo=UndoPlan(retries=R(), timeout=1.0)),
    ),
)
INPUT, ONE = msgspec.Raw(b'{"city":"Rome"}'), msgspec.Raw(b"[1]")
PARENT = Parent("P.1", "pr", "kid")
ATTRIBUTES = {"region": "eu"}


def started() -> Record:
    return create(
        PLAN, saga_id="1/pr/kid/1", run="r", input=INPUT, owner="w", now=1.0, parent=PARENT, attributes=ATTRIBUTES,
        start_id="s",
    )  # fmt: skip


def done() -> Record:
    record = apply(PLAN, started(), [AttemptEnded("a", 1, Complete(ONE))], 2.0)
    return apply(PLAN, record, [AttemptEnded("b", 1, Complete(ONE)), OutputMade(msgspec.Raw(b'"out"'))], 3.0)


def refused() -> Record:
    record = apply(PLAN, started(), [AttemptEnded("a", 1, Complete(ONE))], 2.0)
    return apply(PLAN, record, [AttemptEnded("b", 1, Compensating(code="no", detail=msgspec.Raw(b'{"why":1}')))], 3.0)


def payloads(record: Record) -> dict[int, bytes]:
    return {event.seq: payload_of(record, event) for event in record.outbox}


def data(record: Record) -> list[dict[str, Any]]:
    return [msgspec.json.decode(payload)["data"] for payload in payloads(record).values()]


def test_each_value_is_carried_once_and_is_not_twice_in_the_record() -> None:
    told = data(done())
    assert [told[0]["input"], told[1]["result"], told[2]["result"], told[3]["output"]] == [
        {"city": "Rome"}, [1], [1], "out",
    ]  # fmt: skip
    assert told[0]["parent"] == {"key": "P.1", "run": "pr", "node": "kid"}
    assert (told[0]["attributes"], told[0]["start_id"]) == (ATTRIBUTES, "s")
    assert data(refused())[-1]["detail"] == {"why": 1}
    kept = b"".join(bytes(event.data) for event in done().outbox)
    assert not [value for value in (b"Rome", b"region", b"start_id", b"parent") if value in kept]
    assert [event.carries for event in done().outbox] == ["start", "result", "result", "output"]


def test_events_that_keep_their_values_in_the_record_are_not_filled_by_a_terminate() -> None:
    """Events always stay: with the values in them the record could not be cut until it fits."""
    end = Inbound(id="x", kind="terminate", by="ann", reason="no")
    after = apply(PLAN, refused(), [end], 4.0)
    assert [event.carries for event in after.outbox] == ["start", "result", "", "", ""]


@pytest.mark.parametrize("what", ["reversed", "terminated", "migrated"])
def test_p9_an_event_keeps_its_bytes_when_the_record_loses_the_value(what: str) -> None:
    if what == "reversed":
        before, sender = done(), Sender("P", "1", "pr")
        after = apply(PLAN, before, [Inbound(id="x", kind="reverse", run="r", sender=sender)], 4.0)
        assert after.outcome is None
    elif what == "terminated":
        before = refused()
        after = apply(PLAN, before, [Inbound(id="x", kind="terminate", by="ann", reason="no")], 4.0)
        assert after.failure is not None
        assert after.failure.cause == "terminated"
    else:
        before = apply(PLAN, started(), [AttemptEnded("a", 1, Complete(ONE))], 2.0)
        results = {"a": msgspec.Raw(b"[2]")}
        after = migrated(PLAN, before, input=msgspec.Raw(b"{}"), names={}, results=results)
    known = payloads(before)
    assert {seq: payload for seq, payload in payloads(after).items() if seq in known} == known
