"""The attempts of a saga's steps, as its events and its record tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from sagakit.definition.plan import ITEM
from sagakit.engine import Record, StepLog
from sagakit.engine.events import CloudEvent
from sagakit.engine.table import OPEN
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
"""What an event about a step says: which call has ended, and whether it has succeeded."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `kind` is `do`, `check` or `undo`; `error` is None where it succeeded, and while it is under way.

    It began at `began`, and ended at `at`. `at` is None while it is under way, and of the last attempt of a step that
    is held in its action or its check, whose end no event tells; `began` is None where a step ended without an attempt,
    by hand for instance. `next_at` is when the next attempt was due, if one was to follow. `number` is None where the
    event does not say.
    """

    kind: AttemptKind
    at: datetime | None
    began: datetime | None = None
    number: int | None = None
    error: str | None = None
    next_at: datetime | None = None


def attempts_of(events: Sequence[CloudEvent], record: Record) -> dict[str, list[Attempt]]:
    """Return the attempts by the names of their steps, in the order in which they ended; those under way come last."""
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
    """Return what an event about a step tells; no attempt if it tells of none."""
    _, _, rest = event.type.partition(".step.")
    step, _, ending = rest.partition(".")
    if ending not in _ENDINGS or ("attempt" not in event.data and not ending):
        return step, None  # an each is done with its items: that is no attempt
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
    """Return the attempt that has turned the saga back; none if it was no attempt that did."""
    step, code, reason = (event.data.get(name) for name in ("step", "code", "reason"))
    began = _began(event)
    if not event.type.endswith(".compensating") or not isinstance(step, str) or began is None:
        return "", None
    return step, Attempt(kind="do", at=event.time, began=began, error=str(reason or f"rejected: {code}"))


def _began(event: CloudEvent) -> datetime | None:
    took = event.data.get("took")
    return shifted(event.time, -took) if isinstance(took, int | float) else None


def _last(log: StepLog, began: float) -> Attempt:
    """Return the attempt that is under way, or that has left the step held."""
    kind: AttemptKind = "undo" if log.state == "undoing" else "do"
    if log.state == "checking" or (log.state == "asked" and log.check_attempt):
        kind = "check"
    number = {"do": log.attempt, "check": log.check_attempt, "undo": log.undo_attempt}[kind]
    error = None if log.state in OPEN else log.error
    return Attempt(kind=kind, at=None, began=moment_of(began), number=number, error=error)
