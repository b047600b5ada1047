"""What reaches a saga from outside, and what becomes of it: each message is applied once, and its verdict is kept.

From callers and participants: cancel, signal, report. From operators: retry, mark-undone, complete-step, compensate,
terminate; each is audited. Between a parent and its child: child-ended, reverse, release.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from sagakit.engine.backward import finish_terminated
from sagakit.engine.forward import NO_ROOM, arrived, succeed
from sagakit.engine.inputs import Inbound, InboundKind
from sagakit.engine.operator import compensate, complete_step, mark_undone, retry
from sagakit.engine.record import NOTHING, Failure, UndoRequest, Verdict
from sagakit.engine.requests import pivot_open, pivot_passed
from sagakit.engine.results import Complete
from sagakit.engine.table import StepState
from sagakit.engine.turn import Turn, shorten
from sagakit.engine.verdicts import VerdictText

AFTER_THE_END: frozenset[InboundKind] = frozenset({"reverse", "release"})
"""What a child whose saga has ended still hears of: from its parent."""


def inbound(turn: Turn, message: Inbound) -> None:
    """Apply a message once; its verdict is kept with its id."""
    record = turn.record
    if any(known.id == message.id for known in record.inbound):
        return
    turn.touch()
    if message.refused:
        verdict = f"refused: {shorten(message.refused)}"
    else:
        verdict = _APPLY[message.kind](turn, _shortened(message))
    kept = record.inbound[-(turn.limits.inbound - 1) :]
    record.inbound = [*kept, Verdict(message.id, message.kind, verdict)]


def _shortened(message: Inbound) -> Inbound:
    """Nothing that goes into the record or an event by itself is longer than the record has room for."""
    code = None if message.code is None else shorten(message.code)
    return structs.replace(message, by=shorten(message.by), step=shorten(message.step), code=code)


# ------------------------------------------------------- callers, participants


def _cancel(turn: Turn, message: Inbound) -> VerdictText:
    if not turn.forward or turn.record.undo_request is not None:
        return "already"
    if turn.record.halted:
        turn.record.undo_request = UndoRequest("cancelled", shorten(message.reason))
        return "waiting"
    if pivot_passed(turn):
        return "too late"
    turn.record.undo_request = UndoRequest("cancelled", shorten(message.reason))
    return "waiting" if pivot_open(turn) else "accepted"


def _signal(turn: Turn, message: Inbound) -> VerdictText:
    """A signal that comes before its node is reached waits in the record."""
    node = turn.plan.by_name.get(message.step)
    if node is None or node.kind != "signal":
        return "unknown"
    log = turn.look(node.name)
    if log.arrived:
        return "already"
    if not turn.forward or log.state not in ("pending", "awaiting"):
        return "too late"
    if len(memoryview(message.payload)) > turn.room():
        return "too large"
    log = turn.edit(node.name)
    log.arrived, log.result = True, message.payload
    turn.emit(f"signalled.{node.name}", signal=node.name)
    if log.state == "awaiting":
        arrived(turn, node)
    return "accepted"


_IN_DOUBT: frozenset[StepState] = frozenset({"waiting", "check_waiting", "asked", "blocked"})
_GIVEN_UP: frozenset[StepState] = frozenset(
    {"not_done", "doubtful", "undoing", "undo_waiting", "undo_failed", "undone"}
)  # fmt: skip


def _report(turn: Turn, message: Inbound) -> VerdictText:
    """A participant says that an action happened after all. One that was given up goes into the account."""
    log = turn.record.steps.get(message.step)
    if log is None or turn.plan.node(message.step).kind != "step":
        return "unknown"
    if len(memoryview(message.payload)) > turn.room():
        return "too large"
    if log.state in _IN_DOUBT and log.unsure:
        succeed(turn, turn.plan.node(message.step), Complete(message.payload))
        if turn.record.status == "stuck" and not turn.record.halted:
            turn.move_saga("resume" if turn.forward else "resume_undo")
        return "accepted"
    if log.state not in _GIVEN_UP or log.late:
        return "already"
    log = turn.edit(message.step)
    log.late = True
    if log.result is NOTHING:
        log.result = message.payload
    turn.emit_of(turn.plan.node(message.step), ".late", state=log.state)
    return "late"


def _terminate(turn: Turn, message: Inbound) -> VerdictText:
    turn.emit("operator.terminate", by=message.by, reason=shorten(message.reason))
    turn.record.failure = Failure("terminated", reason=shorten(message.reason))
    finish_terminated(turn)
    return "accepted"


# ----------------------------------------------------------- parent and child


def _child_ended(turn: Turn, message: Inbound) -> VerdictText:
    """A child's end may be told before its start is known to have happened."""
    node = turn.plan.by_name.get(message.step)
    log = turn.look(message.step)
    if node is None or node.kind != "child" or log.state not in ("running", "waiting", "awaiting"):
        return "nothing to do"
    size, room = len(memoryview(message.payload)), turn.room()
    log = turn.edit(node.name)
    log.arrived, log.unsure, log.code = True, False, message.code
    if message.code is not None:
        log.detail = message.payload if size <= min(room, turn.limits.detail) else NOTHING
    elif size <= room:
        log.result = message.payload
    else:
        log.code, log.result = NO_ROOM, NOTHING
        log.error = f"the child's output is too large: {size:,} bytes, {room:,} are left"
    if log.state != "running":
        arrived(turn, node)
    return "accepted"


def _reverse(turn: Turn, message: Inbound) -> VerdictText:
    """The parent is undone: so is its child, running or completed."""
    record = turn.record
    if record.status == "failed":
        return "ended"
    if record.status != "completed":
        return _cancel(turn, message)
    if record.released or pivot_passed(turn):
        return "too late"
    record.outcome = None
    turn.fail(Failure("cancelled", reason=shorten(message.reason)), move="reverse")
    return "accepted"


def _release(turn: Turn, message: Inbound) -> VerdictText:
    """The parent has ended: the child's record need not be kept for it any more."""
    turn.record.released = True
    return "accepted"


_APPLY: dict[InboundKind, Callable[[Turn, Inbound], VerdictText]] = {
    "cancel": _cancel,
    "signal": _signal,
    "report": _report,
    "terminate": _terminate,
    "retry": retry,
    "mark-undone": mark_undone,
    "complete-step": complete_step,
    "compensate": compensate,
    "child-ended": _child_ended,
    "reverse": _reverse,
    "release": _release,
}
