"""What reaches a saga from outside, and what becomes of it (P5, P6)."""

from __future__ import annotations

from typing import Literal

from sagakit.engine.backward import finish_terminated
from sagakit.engine.inputs import Inbound
from sagakit.engine.record import NOTHING, Failure, UndoRequest, Verdict
from sagakit.engine.table import PASSED
from sagakit.engine.turn import Turn, shorten

VerdictText = Literal["accepted", "waiting", "too late", "already", "nothing to do"]


def inbound(turn: Turn, message: Inbound) -> None:
    """Apply a message once; its verdict is kept with its id."""
    record = turn.record
    if any(known.id == message.id for known in record.inbound):
        return
    turn.touch()
    verdict = _APPLY[message.kind](turn, message)
    kept = record.inbound[-(turn.limits.inbound - 1) :]
    record.inbound = [*kept, Verdict(message.id, message.kind, verdict)]


def deadline(turn: Turn) -> None:
    """The saga's deadline has passed: a request to undo, like a cancel."""
    if may_turn_back(turn):
        turn.touch()
        turn.record.undo_request = UndoRequest("deadline", "the saga's deadline has passed")


def may_turn_back(turn: Turn) -> bool:
    """Whether a request to undo would still mean something."""
    return turn.forward and turn.record.undo_request is None and not _pivot_passed(turn)


def honour_undo_request(turn: Turn) -> None:
    """Turn back on request, unless the pivot's outcome is open; drop the request when it came too late."""
    request = turn.record.undo_request
    if request is None:
        return
    if not turn.forward or _pivot_passed(turn):
        turn.touch()
        turn.record.undo_request = None
    elif not _pivot_open(turn):
        turn.touch()
        turn.record.undo_request = None
        turn.fail(Failure(request.cause, reason=request.reason))


def _cancel(turn: Turn, message: Inbound) -> VerdictText:
    if not turn.forward or turn.record.undo_request is not None:
        return "already"
    if turn.record.halted:
        turn.record.undo_request = UndoRequest("cancelled", shorten(message.reason))
        return "waiting"
    if _pivot_passed(turn):
        return "too late"
    turn.record.undo_request = UndoRequest("cancelled", shorten(message.reason))
    return "waiting" if _pivot_open(turn) else "accepted"


def _terminate(turn: Turn, message: Inbound) -> VerdictText:
    turn.emit("operator.terminate", by=message.by, reason=shorten(message.reason))
    turn.record.failure = Failure("terminated", reason=shorten(message.reason))
    finish_terminated(turn)
    return "accepted"


def _retry(turn: Turn, message: Inbound) -> VerdictText:
    """A fresh budget and a new key group for all that is held."""
    record = turn.record
    if record.status != "stuck":
        return "nothing to do"
    if record.halted:
        turn.move_saga("resume" if turn.forward else "resume_undo")
        turn.emit("operator.retry", by=message.by, reason=shorten(message.reason))
        return "accepted"
    before = {node.name: turn.look(node.name).state for node in turn.plan.nodes}
    for node in turn.plan.nodes:
        log = turn.look(node.name)
        if log.state == "undo_failed":
            log = turn.edit(node.name)
            log.undo_attempt, log.undo_group, log.undo_unsure = 0, log.undo_group + 1, False
            turn.open(node, "undo")
        elif log.state == "asked" and node.has_check:
            turn.edit(node.name).check_attempt = 0
            turn.open(node, "check")
        elif log.state in ("asked", "blocked") and turn.forward:
            log = turn.edit(node.name)
            log.attempt, log.group, log.unsure, log.code, log.detail = 0, log.group + 1, False, None, NOTHING
            turn.open(node, "start")
    held_output = turn.forward and all(state in PASSED for state in before.values())
    if not held_output and before == {node.name: turn.look(node.name).state for node in turn.plan.nodes}:
        return "nothing to do"
    turn.move_saga("resume" if turn.forward else "resume_undo")
    turn.emit("operator.retry", by=message.by, reason=shorten(message.reason))
    return "accepted"


_APPLY = {"cancel": _cancel, "terminate": _terminate, "retry": _retry}


def _pivot_passed(turn: Turn) -> bool:
    pivot = turn.plan.pivot
    return pivot is not None and turn.look(pivot.name).state in PASSED


def _pivot_open(turn: Turn) -> bool:
    """Whether a pivot attempt is open, unknown, or has exhausted its budget."""
    pivot = turn.plan.pivot
    if pivot is None:
        return False
    log = turn.look(pivot.name)
    return log.unsure or log.state in ("running", "checking", "check_waiting", "asked", "blocked")
