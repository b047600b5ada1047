"""Delayed starts: a saga waits in its record until its time comes, and begins then, once."""

from __future__ import annotations

from sagakit.engine.record import DELAYED_SCHEMA, PLAIN_SCHEMA
from sagakit.engine.turn import Turn


def started(turn: Turn) -> None:
    """Begin a new saga, or have it wait if its record says when it starts. Version and deadline count from here on."""
    record, plan = turn.record, turn.plan
    if record.starts_at is not None:
        record.status, record.schema = "delayed", DELAYED_SCHEMA
        turn.emit("delayed", "start", starts_at=record.starts_at, version=plan.version)
        return
    data: dict[str, object] = {"version": plan.version}
    if plan.deadline is not None:
        record.deadline_at = data["deadline_at"] = turn.now + plan.deadline
    is_first = record.next_event == 1  # else the saga was delayed, and its first event has the rest
    turn.emit("started", "start" if is_first else "", **data)


def begin_in_time(turn: Turn) -> None:
    """Begin a delayed saga if its time has come, under the version of the worker that has it now.

    The time of the start may be long past, after an outage: the deadline counts from now.
    """
    record = turn.record
    if record.status != "delayed" or record.starts_at is None or record.starts_at > turn.now or turn.hold:
        return
    turn.move_saga("begin")
    record.schema, record.starts_at = PLAIN_SCHEMA, None
    record.definition_version, record.plan_digest = turn.plan.version, turn.plan.digest
    started(turn)
