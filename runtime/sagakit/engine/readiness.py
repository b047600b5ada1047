"""Readiness of nodes: which may begin now, and which of those the definition has to be asked about first."""

from __future__ import annotations

from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine.record import NOTHING, Record
from sagakit.engine.turn import passed


def ready(plan: Plan, record: Record) -> list[NodePlan]:
    """Return the pending nodes whose predecessors are all done or skipped."""
    steps = record.steps
    found: list[NodePlan] = []
    for node in plan.nodes:
        log = steps.get(node.name)
        if (log is None or log.state == "pending") and passed(steps, node.after):
            found.append(node)
    return found


def undecided(node: NodePlan, record: Record) -> bool:
    """Return True if the node has a condition that was not evaluated yet."""
    return node.condition and not (node.name in record.steps and record.steps[node.name].decided)


def unprepared(node: NodePlan, record: Record) -> bool:
    """Return True if the value that the node starts with was not computed yet."""
    return node.prepared and not (node.name in record.steps and record.steps[node.name].given is not NOTHING)
