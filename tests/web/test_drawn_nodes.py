"""The nodes of diagrams: their order, their states, and who has to act."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest
from msgspec import structs
from sagakit.client.description import Description, StepView
from sagakit.client.script import waits as script_waits
from sagakit.definition import compiled
from sagakit.definition.plan import Kind, NodePlan, Plan
from sagakit.engine import create
from sagakit.engine.migration import _BEGUN_KINDS
from sagakit.engine.record import StepLog
from sagakit.web import waits
from sagakit.web.drawn_nodes import drawn_definition, drawn_saga, note_of
from sagakit.web.saga_view import reasons_of

from tests.client.faces import Buy

AT = datetime(2026, 11, 29, 20, 15, 7, tzinfo=UTC)


def view(
    state: str, name: str = "one", *, kind: str = "step", due: datetime | None = None, until: datetime | None = None
) -> StepView:
    return StepView(name=name, kind=kind, state=state, calls=0, due=due, until=until)


def test_a_saga_is_drawn_in_the_order_of_its_plan_also_where_it_has_not_come_to() -> None:
    nodes = drawn_saga(compiled(Buy).plan, [view("done", "reserve"), view("awaiting", "approved", kind="signal")])
    assert [(node.name, node.after, node.state, node.is_pivot, node.note) for node in nodes] == [
        ("reserve", (), "done", False, ""),
        ("approved", ("reserve",), "awaiting", False, "waits for its signal"),
        ("charge", ("approved",), "pending", True, ""),
    ]


def test_a_definition_says_of_each_node_what_it_is() -> None:
    notes = {node.name: (node.state, node.note) for node in drawn_definition(compiled(Buy).plan)}
    assert notes == {
        "reserve": ("", "step, can be undone"),
        "approved": ("", "signal, may be skipped"),
        "charge": ("", "step, pivot"),
    }


def test_each_kind_of_node_that_waits_has_words_for_it_in_the_console_and_in_a_script() -> None:
    kinds = _BEGUN_KINDS["awaiting"]
    assert set(waits.AWAITED) == set(kinds)
    record = create(Plan(saga_type="T", nodes=()), saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    record = structs.replace(record, steps={"one": StepLog(state="awaiting", due=1.0)})
    for kind in get_args(Kind):
        plan = Plan(saga_type="T", nodes=(NodePlan(name="one", kind=kind),))
        assert bool([*script_waits(record, plan)]) == (kind in kinds), kind


def test_without_a_plan_nothing_is_drawn() -> None:
    assert [*drawn_saga(None, [view("done")]), *drawn_definition(None)] == []


@pytest.mark.parametrize(
    ("found", "items", "note"),
    [
        (view("blocked"), [], "an operator has to act"),
        (view("undo_failed"), [], "an operator has to act"),
        (view("waiting", due=AT), [], "tries again 2026-11-29 20:15:07Z"),
        (view("sent", due=AT, until=AT), [], "waits for its reply until 2026-11-29 20:15:07Z"),
        (view("check_sent"), [], "waits for its reply to the check"),
        (view("undo_sent", due=AT, until=AT), [], "waits for its reply to the undo until 2026-11-29 20:15:07Z"),
        (view("running", until=AT), [], "has to end by 2026-11-29 20:15:07Z"),
        (view("done"), [], ""),
        (view("awaiting", kind="signal"), [], "waits for its signal"),
        (view("awaiting", kind="signal", due=AT), [], "waits for its signal until 2026-11-29 20:15:07Z"),
        (view("awaiting", kind="timer", due=AT), [], "waits for its time until 2026-11-29 20:15:07Z"),
        (view("awaiting", kind="child"), [], "waits for its child"),
        (view("spread"), [view("done"), view("running"), view("skipped")], "2 of 3 ended"),
        (view("spread"), [view("done"), view("asked")], "an operator has to act"),
        (view("done"), [view("done"), view("done")], ""),
    ],
)
def test_a_node_that_waits_says_for_what_and_until_when(found: StepView, items: list[StepView], note: str) -> None:
    assert note_of(found, items) == note


@pytest.mark.parametrize(
    "step",
    [
        view("sent", kind="remote", due=AT, until=AT),
        view("undo_sent", kind="remote", due=AT),
        view("awaiting", kind="signal", due=AT),
        view("awaiting", kind="timer", due=AT),
        view("awaiting", kind="child"),
    ],
)
def test_the_reasons_the_diagram_and_the_table_of_steps_say_the_same_about_a_wait(step: StepView) -> None:
    saga = Description(
        type="T", id="1", version=1, run="r", status="running", owner="w", created_at=AT, updated_at=AT, steps=[step]
    )
    ((reason, needs_a_person),) = reasons_of(saga)
    assert (reason, needs_a_person) == (f"one {note_of(step, [])}.", False)
    assert waits.timing(step) == waits.awaited(step) == note_of(step, [])
