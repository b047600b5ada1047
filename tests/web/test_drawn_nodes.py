"""The nodes of diagrams: their order, their states, and who has to act."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest
from msgspec import structs
from sagakit.client.description import StepView
from sagakit.client.script import waits
from sagakit.definition import compiled
from sagakit.definition.plan import Kind, NodePlan, Plan
from sagakit.engine import create
from sagakit.engine.migration import _BEGUN_KINDS
from sagakit.engine.record import StepLog
from sagakit.web import drawn_nodes, saga_view
from sagakit.web.drawn_nodes import drawn_definition, drawn_saga, note_of

from tests.client.faces import Buy

AT = datetime(2026, 11, 29, 20, 15, 7, tzinfo=UTC)


def view(state: str, name: str = "one", *, due: datetime | None = None, until: datetime | None = None) -> StepView:
    return StepView(name=name, kind="", state=state, calls=0, due=due, until=until)


def test_a_saga_is_drawn_in_the_order_of_its_plan_also_where_it_has_not_come_to() -> None:
    nodes = drawn_saga(compiled(Buy).plan, [view("done", "reserve"), view("awaiting", "approved")])
    assert [(node.name, node.after, node.state, node.is_pivot, node.note) for node in nodes] == [
        ("reserve", (), "done", False, ""),
        ("approved", ("reserve",), "awaiting", False, "waits for its message"),
        ("charge", ("approved",), "pending", True, ""),
    ]


def test_a_definition_says_of_each_node_what_it_is() -> None:
    notes = {node.name: (node.state, node.note) for node in drawn_definition(compiled(Buy).plan)}
    assert notes == {
        "reserve": ("", "step, can be undone"),
        "approved": ("", "signal, may be skipped"),
        "charge": ("", "step, pivot"),
    }


def test_each_kind_of_node_that_waits_has_words_for_it_in_each_view() -> None:
    kinds = _BEGUN_KINDS["awaiting"]
    assert set(drawn_nodes.AWAITED) == set(saga_view.AWAITED) == set(kinds)
    record = create(Plan(saga_type="T", nodes=()), saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    record = structs.replace(record, steps={"one": StepLog(state="awaiting", due=1.0)})
    for kind in get_args(Kind):
        plan = Plan(saga_type="T", nodes=(NodePlan(name="one", kind=kind),))
        assert bool([*waits(record, plan)]) == (kind in kinds), kind


def test_without_a_plan_nothing_is_drawn() -> None:
    assert [*drawn_saga(None, [view("done")]), *drawn_definition(None)] == []


@pytest.mark.parametrize(
    ("kind", "found", "items", "note"),
    [
        ("step", view("blocked"), [], "an operator has to act"),
        ("step", view("undo_failed"), [], "an operator has to act"),
        ("step", view("waiting", due=AT), [], "tries again 2026-11-29 20:15:07Z"),
        ("remote", view("sent", due=AT, until=AT), [], "waits for a reply until 2026-11-29 20:15:07Z"),
        ("remote", view("check_sent"), [], "asked whether it is done"),
        ("remote", view("undo_sent", due=AT, until=AT), [], "waits for a reply to undo until 2026-11-29 20:15:07Z"),
        ("step", view("running", until=AT), [], "ends by 2026-11-29 20:15:07Z"),
        ("step", view("done"), [], ""),
        ("signal", view("awaiting"), [], "waits for its message"),
        ("signal", view("awaiting", due=AT), [], "waits for its message until 2026-11-29 20:15:07Z"),
        ("timer", view("awaiting", due=AT), [], "waits until 2026-11-29 20:15:07Z"),
        ("child", view("awaiting"), [], "waits for its child"),
        ("each", view("spread"), [view("done"), view("running"), view("skipped")], "2 of 3 ended"),
        ("each", view("spread"), [view("done"), view("asked")], "an operator has to act"),
        ("each", view("done"), [view("done"), view("done")], ""),
    ],
)
def test_a_node_that_waits_says_for_whom_and_until_when(
    kind: str, found: StepView, items: list[StepView], note: str
) -> None:
    assert note_of(kind, found, items) == note
