"""The words for what a step waits for, and until when: the same in the reasons, the diagram and the table of steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from sagakit.client.description import StepView
from sagakit.web.time_zones import clock

AWAITED: Mapping[str, str] = {
    "signal": "waits for its signal",
    "timer": "waits for its time",
    "child": "waits for its child",
}
"""The words for a node that is `awaiting`, by its kind."""
OUT: Mapping[str, str] = {
    "sent": "waits for its reply",
    "check_sent": "waits for its reply to the check",
    "undo_sent": "waits for its reply to the undo",
}
"""The words for a step whose command is at a participant, by its state."""


def awaited(step: StepView, zone: tzinfo = UTC) -> str:
    """Return what a step waits for from outside its worker, and until when; empty if it waits for nothing."""
    words = AWAITED.get(step.kind, "waits") if step.state == "awaiting" else OUT.get(step.state, "")
    return words if not words or step.due is None else f"{words} until {_shown(step.due, zone)}"


def timing(step: StepView, zone: tzinfo = UTC) -> str:
    """Return what a step waits for, or when it is tried again, or by when its attempt has to end; empty if nothing."""
    if words := awaited(step, zone):
        return words
    if step.due is not None:
        return f"tries again {_shown(step.due, zone)}"
    return "" if step.until is None else f"has to end by {_shown(step.until, zone)}"


def _shown(time: datetime, zone: tzinfo) -> str:
    return clock(time, zone, "seconds")
