"""Requests to undo: a cancel or a deadline, which waits while the pivot's outcome is open (P5, P6)."""

from __future__ import annotations

from sagakit.engine.audit import audit
from sagakit.engine.inputs import Inbound
from sagakit.engine.record import Failure, UndoRequest
from sagakit.engine.table import PASSED, UNDER_WAY, StepState
from sagakit.engine.turn import Turn, shorten
from sagakit.engine.verdicts import VerdictText

_OPEN: frozenset[StepState] = UNDER_WAY | frozenset[StepState]({"awaiting", "check_waiting", "asked", "blocked"})
"""States of a pivot whose outcome is open."""


def cancel(turn: Turn, message: Inbound) -> VerdictText:
    """Take a request to undo, from a caller or from the parent, and return its verdict.

    It is audited if it names a person: programs need not.
    """
    record = turn.record
    if not turn.forward or record.undo_request is not None:
        return "already"
    if pivot_passed(turn) and not record.halted:
        return "too late"
    if message.by:
        audit(turn, message)
    record.undo_request = UndoRequest("cancelled", shorten(message.reason))
    return "waiting" if record.halted or pivot_open(turn) else "accepted"


def deadline(turn: Turn) -> None:
    """Turn a deadline that has passed into a request to undo, like a cancel."""
    if may_turn_back(turn):
        turn.touch()
        turn.record.undo_request = UndoRequest("deadline", "the saga's deadline has passed")


def may_turn_back(turn: Turn) -> bool:
    """Return True if a request to undo would still have an effect."""
    return turn.forward and turn.record.undo_request is None and not pivot_passed(turn)


def honour_undo_request(turn: Turn) -> None:
    """Turn back on request, unless the pivot's outcome is open; drop a request that has become too late.

    A request that waited becomes too late when the pivot's attempt, which was open when it came, turns out to be done.
    """
    request = turn.record.undo_request
    if request is None:
        return
    if not turn.forward or pivot_passed(turn):
        turn.touch()
        turn.record.undo_request = None
    elif not pivot_open(turn):
        turn.touch()
        turn.record.undo_request = None
        turn.fail(Failure(request.cause, reason=request.reason))


def pivot_passed(turn: Turn) -> bool:
    """Return True if the pivot is done or skipped: from then on the saga only goes forward."""
    pivot = turn.plan.pivot
    return pivot is not None and turn.look(pivot.name).state in PASSED


def pivot_open(turn: Turn) -> bool:
    """Return True if an attempt of the pivot is open or unknown, or if the pivot is held for a person."""
    pivot = turn.plan.pivot
    if pivot is None:
        return False
    log = turn.look(pivot.name)
    return log.unsure or log.state in _OPEN
