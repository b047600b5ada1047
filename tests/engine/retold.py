"""The comparison of a record with the one that its events tell: they must agree, wherever events tell anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sagakit.engine import Record
from sagakit.engine.events import CloudEvent
from sagakit.engine.record import NOTHING
from sagakit.engine.replay import Replayed, replay

ALIKE = (
    "status", "input", "input_digest", "deadline_at", "starts_at", "definition_version", "parent", "epoch",
    "next_event",
)  # fmt: skip
"""Fields that are the same."""
TOLD = ("done", "undone", "undo_failed")
"""States of steps that events always tell. A step that is held is not told if the saga was stuck already."""


def retold(published: Sequence[Any]) -> Replayed:
    """Return the last state that published events tell."""
    events = [msgspec.json.decode(msgspec.json.encode(event), type=CloudEvent) for event in published]
    return list(replay(events))[-1]


def differences(record: Record, told: Record) -> list[str]:
    """Return the parts in which a record that is stuck or has ended differs from what its events tell."""
    found = [name for name in ALIKE if getattr(record, name) != getattr(told, name)]
    if (record.failure and _plain(record.failure)) != (told.failure and _plain(told.failure)):
        found.append("failure")
    if record.outcome is not None and told.outcome is not None:
        same = (record.outcome.output, record.outcome.compensated, record.outcome.late_successes)
        if same != (told.outcome.output, told.outcome.compensated, told.outcome.late_successes):
            found.append("outcome")
    for name, log in record.steps.items():
        other = told.steps.get(name)
        if log.state in TOLD and not log.items and not record.halted and (other is None or other.state != log.state):
            found.append(f"{name}: {log.state} is told as {other and other.state}")
        if log.state == "done" and other is not None:
            if (log.group, log.attempt) != (other.group, other.attempt):
                found.append(f"{name}: group {log.group} {other.group}, attempt {log.attempt} {other.attempt}")
            if log.result not in (other.result, NOTHING):
                found.append(f"{name}: result {bytes(log.result)!r} {bytes(other.result)!r}")
    return found


def _plain(failure: Any) -> tuple[object, ...]:
    return failure.cause, failure.code, failure.step, failure.detail
