"""The nodes of diagrams: the order of a plan, and of a saga each node's state, why it waits, until when, for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple

from sagakit.client.description import StepView
from sagakit.definition import Plan
from sagakit.definition.plan import ITEM, NodePlan
from sagakit.engine.table import HELD
from sagakit.web.waits import timing

ENDED = frozenset({"done", "undone", "skipped", "not_done"})


class DrawnNode(NamedTuple):
    """A node. `after` are the names of the nodes before it.

    In the diagram of a saga `note` says why the node waits; it is empty if the node does not. In that of a definition
    `state` is empty, and `note` says what the node is.
    """

    name: str
    kind: str
    is_pivot: bool
    after: Sequence[str]
    state: str
    note: str


def drawn_saga(plan: Plan | None, steps: Sequence[StepView], zone: tzinfo = UTC) -> Sequence[DrawnNode]:
    """Return the nodes of a saga's diagram in the order of its plan; none if the plan is not known.

    Notes tell times in a zone.
    """
    views = {step.name: step for step in steps}
    return [] if plan is None else [_drawn(node, views, zone) for node in plan.nodes]


def _drawn(node: NodePlan, views: Mapping[str, StepView], zone: tzinfo) -> DrawnNode:
    view = views.get(node.name)
    if view is None:
        return _node(node, "pending", "")
    items = [views[name] for name in views if _is_item(name, node)]
    return _node(node, view.state, note_of(view, items, zone))


def drawn_definition(plan: Plan | None) -> Sequence[DrawnNode]:
    """Return the nodes of a definition's diagram in the order of its plan; none if the plan is not known."""
    return [] if plan is None else [_node(node, "", _what(node)) for node in plan.nodes]


def _what(node: NodePlan) -> str:
    facts = {
        "pivot": node.position == "pivot",
        "may be skipped": node.condition,
        "can be undone": node.undo is not None,
    }
    return ", ".join([node.kind, *(fact for fact, holds in facts.items() if holds)])


def _node(node: NodePlan, state: str, note: str) -> DrawnNode:
    return DrawnNode(node.name, node.kind, node.position == "pivot", node.after, state, note)


def _is_item(name: str, node: NodePlan) -> bool:
    return name.startswith(node.name + ITEM)


def note_of(view: StepView, items: Sequence[StepView], zone: tzinfo = UTC) -> str:
    """Return why a node does not go on, until when, and who has to act; empty if it has ended or not begun."""
    if view.state in HELD or any(item.state in HELD for item in items):
        return "an operator has to act"
    if items and view.state not in ENDED:
        numbers = Counter(item.state in ENDED for item in items)
        return f"{numbers[True]:,} of {len(items):,} ended"
    return timing(view, zone)
