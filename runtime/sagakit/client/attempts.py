"""The attempts of a saga's steps, read from its events and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from sagakit.definition.plan import ITEM
from sagakit.engine import Record, StepLog
from sagakit.engine.events import CloudEvent
from sagakit.engine.table import UNDER_WAY
from sagakit.times import moment_of, shifted

AttemptKind = Literal["do", "check", "undo"]
_ENDINGS: Mapping[str, tuple[AttemptKind, bool]] = {
    "": ("do", True),
    "retrying": ("do", False),
    "check_retrying": ("check", False),
    "undo_retrying": ("undo", False),
    "undone": ("undo", True),
    "undo_failed": ("undo", False),
}
"""Endings of events about a step: the kind of the call that has ended, and True if it has succeeded."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt: one call of an action (`do`), a check or a compensation (`undo`). Times are in UTC."""

    kind: AttemptKind
    """The function that was called."""
    at: datetime | None
    """Time of its end. None while it runs, and for the last attempt of a held step, whose end no event tells."""
    began: datetime | None = None
    """Time of its beginning. None if the step ended without an attempt, for instance by hand."""
    number: int | None = None
    """Number of the attempt among those of its kind, from 1. None if the event does not say."""
    error: str | None = None
    """Error that it raised. None if it succeeded, and while it runs."""
    next_at: datetime | None = None
    """Time at which the next attempt was due. None if none was to follow."""


def attempts_of(events: Sequence[CloudEvent], record: Record) -> dict[str, list[Attempt]]:
    """Return the attempts by the names of their steps, in the order of their ends. A running attempt comes last."""
    found: dict[str, list[Attempt]] = {}
    for event in events:
        step, attempt = _ended(event) if ".step." in event.type else _turned_back(event)
        if attempt is not None:
            found.setdefault(step, []).append(attempt)
    for step, log in record.steps.items():
        if log.began is not None:
            found.setdefault(step, []).append(_last(log, log.began))
    return found


def _ended(event: CloudEvent) -> tuple[str, Attempt | None]:
    """Return the step and the attempt that an event is about; None for the attempt if it is about none."""
    _, _, rest = event.type.partition(".step.")
    step, _, ending = rest.partition(".")
    if ending not in _ENDINGS or ("attempt" not in event.data and not ending):
        return step, None  # an each ends when its items have ended: that is not an attempt
    kind, succeeded = _ENDINGS[ending]
    number, error, delay, item = (event.data.get(name) for name in ("attempt", "error", "delay", "item"))
    return step if item is None else f"{step}{ITEM}{item}", Attempt(
        kind=kind,
        at=event.time,
        began=_began(event),
        number=number if isinstance(number, int) else None,
        error=None if succeeded else str(error),
        next_at=shifted(event.time, delay),
    )


def _turned_back(event: CloudEvent) -> tuple[str, Attempt | None]:
    """Return the step and the attempt that turned the saga back; None if something else did, such as a cancel."""
    step, code, reason = (event.data.get(name) for name in ("step", "code", "reason"))
    began = _began(event)
    if not event.type.endswith(".compensating") or not isinstance(step, str) or began is None:
        return "", None
    return step, Attempt(kind="do", at=event.time, began=began, error=str(reason or f"rejected: {code}"))


def _began(event: CloudEvent) -> datetime | None:
    took = event.data.get("took")
    return shifted(event.time, -took) if isinstance(took, int | float) else None


def _last(log: StepLog, began: float) -> Attempt:
    """Return the attempt that runs now, or that left the step held."""
    kind: AttemptKind = "undo" if log.state in ("undoing", "undo_sent") else "do"
    if log.state in ("checking", "check_sent") or (log.state == "asked" and log.check_attempt):
        kind = "check"
    number = {"do": log.attempt, "check": log.check_attempt, "undo": log.undo_attempt}[kind]
    error = None if log.state in UNDER_WAY else log.error
    return Attempt(kind=kind, at=None, began=moment_of(began), number=number, error=error)
