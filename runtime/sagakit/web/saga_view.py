"""The view of one saga that its page and its replay have in common: why it is where it is, and its events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Any

from sagakit.client.description import Description, StepView
from sagakit.definition.plan import ITEM
from sagakit.engine.events import CloudEvent
from sagakit.web.drawn_nodes import ENDED
from sagakit.web.time_zones import clock
from sagakit.web.waits import awaited

ITEMS, REASONS = 100, 20
"""Items of an each, and reasons, that a page shows."""


def shown_event(event: CloudEvent) -> dict[str, Any]:
    """Return an event as a row of a table."""
    return {
        "sequence": event.sequence, "time": event.time, "event": event.type.split(".", 2)[-1], "data": event.data,
    }  # fmt: skip


def operator_acts(events: Sequence[CloudEvent]) -> Sequence[dict[str, Any]]:
    """Return the events about what operators did, as rows of a table, newest first."""
    rows = [shown_event(event) for event in reversed(events)]
    return [row for row in rows if row["event"].startswith("operator.")]


def shown_steps(steps: Sequence[StepView]) -> Sequence[StepView]:
    """Return the steps that a page shows: all nodes, and so many items that it stays short; unfinished items first."""
    items = [step for step in steps if ITEM in step.name]
    shown = {step.name for step in sorted(items, key=lambda step: step.state in ENDED)[:ITEMS]}
    return [step for step in steps if ITEM not in step.name or step.name in shown]


def reasons_of(saga: Description, zone: tzinfo = UTC) -> list[tuple[str, bool]]:
    """Return why a saga is where it is, and True for each reason that needs a person. Times are in a zone."""
    found: list[tuple[str, bool]] = []
    if saga.stuck is not None:
        found.append((f"Stuck: {saga.stuck}. It waits for a person.", True))
    if saga.status == "delayed":
        found.append(("It waits for the time of its start.", False))
    if saga.cause is not None:
        told = ": ".join(part for part in (saga.cause, saga.code, saga.reason) if part)
        found.append((f"It has turned back: {told}.", False))
    for step in saga.steps:
        if step.state in ("waiting", "check_waiting", "undo_waiting"):
            found.append((f"{step.name} waits for its next attempt; the last error: {step.error or 'none'}", False))
        elif wait := awaited(step, zone):
            if step.progress_at is not None:
                wait += f"; it last told its progress at {clock(step.progress_at, zone, 'seconds')}"
            found.append((f"{step.name} {wait}.", False))
    return found if len(found) <= REASONS else [*found[:REASONS], (f"And {len(found) - REASONS:,} more.", False)]
