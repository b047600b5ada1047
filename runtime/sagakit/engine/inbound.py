"""Messages that reach a saga from outside: each is applied once, and its verdict is kept.

The checks come in this order. A message that was applied is not applied again. A message for another run, or one that
only pretends to come from a parent or a child, does nothing and leaves no trace. A message without a place in the
record is refused.

From callers and participants: cancel, signal, report; a reply and a heartbeat, by rules of
their own (`engine.remote`). From operators:
retry, mark-undone, complete-step, compensate, terminate; each is audited. So are a cancel that says who gave it, and a
signal that says who sends it or why.
Between a parent and its child: child-ended, reverse, release.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from sagakit.definition.plan import Plan
from sagakit.engine.audit import audit
from sagakit.engine.backward import finish_terminated
from sagakit.engine.family import AFTER_THE_END, child_ended, release, reverse, stranger
from sagakit.engine.forward import arrived, happened
from sagakit.engine.inputs import Inbound, InboundKind
from sagakit.engine.operator import compensate, complete_step, mark_undone, retry
from sagakit.engine.record import NOTHING, Failure, Record
from sagakit.engine.remote import heartbeat, reply, settled
from sagakit.engine.results import Complete
from sagakit.engine.table import ENDS, StepState
from sagakit.engine.turn import Limits, Turn, shorten
from sagakit.engine.undo_requests import cancel
from sagakit.engine.verdicts import VerdictText, hash_of, is_full, keep_verdict, known_verdict


def verdict_of(plan: Plan, record: Record, message: Inbound, limits: Limits) -> str | None:
    """Return the verdict that a message has, or the reason why it cannot be applied at all; None if it can be applied.

    The reason is not kept in the record: the same message may be applied later, or by another run.
    """
    if message.kind in ("reply", "heartbeat"):  # key and attempt say whether it is new
        return settled(plan, record, message)
    verdict = known_verdict(record, message)
    if verdict is not None:
        return verdict
    if wrong := stranger(plan, record, message):
        return f"refused: {wrong}"
    return "full" if is_full(record, message.kind, limits) else None


def inbound(turn: Turn, message: Inbound) -> None:
    """Apply a message once, and keep its verdict under its kind and id."""
    if verdict_of(turn.plan, turn.record, message, turn.limits) is None:
        _apply_new(turn, message)


def _apply_new(turn: Turn, message: Inbound) -> None:
    if message.kind == "heartbeat":
        heartbeat(turn, message)
        return
    turn.touch()
    if message.kind == "reply":
        reply(turn, _shortened(message))
        return
    if message.refused and message.kind != "child-ended":
        verdict = f"refused: {shorten(message.refused)}"
    else:
        verdict = _APPLY[message.kind](turn, _shortened(message))
    keep_verdict(turn.record, message, verdict, turn.limits)


def trial(plan: Plan, record: Record, message: Inbound, now: float, limits: Limits) -> str:
    """Return the verdict that a message would get, and change nothing."""
    known = verdict_of(plan, record, message, limits)
    if known is not None:
        return known
    if record.status in ENDS and message.kind not in AFTER_THE_END:
        return "ended"
    turn = Turn(plan, record, now=now, limits=limits)
    _apply_new(turn, message)
    return turn.record.inbound[-1].verdict


def _shortened(message: Inbound) -> Inbound:
    """Return the message with its texts cut to a length that the record and an event have room for."""
    code = None if message.code is None else shorten(message.code)
    return structs.replace(message, by=shorten(message.by), step=shorten(message.step), code=code)


# ------------------------------------------------------- callers, participants


def _signal(turn: Turn, message: Inbound) -> VerdictText:
    """Take a signal. One that comes before its node is reached waits in the record.

    It is audited if it says who sends it or why: programs need not.
    """
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
    if message.by or message.reason.strip():
        # Without the hash of the message: only the next event says that it was applied, since it has the payload.
        turn.emit(f"operator.{message.kind}", by=message.by, reason=shorten(message.reason), step=node.name)
    log = turn.edit(node.name)
    log.arrived, log.result = True, message.payload
    named = {"named": log.named} if log.named else {}
    turn.emit(f"signalled.{node.name}", "payload", signal=node.name, message=hash_of(message), **named)
    if log.state == "awaiting":
        arrived(turn, node)
    return "accepted"


_IN_DOUBT: frozenset[StepState] = frozenset({"waiting", "check_waiting", "asked", "blocked"})
_GIVEN_UP: frozenset[StepState] = frozenset(
    {"not_done", "doubtful", "undoing", "undo_waiting", "undo_failed", "undone"}
)  # fmt: skip


def _report(turn: Turn, message: Inbound) -> VerdictText:
    """Take a participant's report that an action happened after all.

    A step in doubt is done with it. The success of a step that was given up is only recorded as late: it appears in the
    outcome, for a person to look at.
    """
    log = turn.record.steps.get(message.step)
    if log is None or turn.plan.node(message.step).kind != "step":
        return "unknown"
    if len(memoryview(message.payload)) > turn.room():
        return "too large"
    if log.state in _IN_DOUBT and log.unsure:
        happened(turn, turn.plan.node(message.step), Complete(message.payload))
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
    audit(turn, message)
    turn.replace(failure=Failure("terminated", reason=shorten(message.reason)))
    finish_terminated(turn)
    return "accepted"


_APPLY: dict[InboundKind, Callable[[Turn, Inbound], VerdictText]] = {
    "cancel": cancel,
    "signal": _signal,
    "report": _report,
    "terminate": _terminate,
    "retry": retry,
    "mark-undone": mark_undone,
    "complete-step": complete_step,
    "compensate": compensate,
    "child-ended": child_ended,
    "reverse": reverse,
    "release": release,
}
