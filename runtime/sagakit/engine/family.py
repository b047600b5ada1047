"""Messages between parents and children, and the proof that they come from a parent or a child.

A message that is not from the parent, or not from a child, of this very run is refused before it is applied. It leaves
no trace in the record, since the true relative may use the same message id later. After that check all of it is
idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sagakit.definition.plan import Plan
from sagakit.engine.details import fitting_detail
from sagakit.engine.forward import NO_ROOM, UNREADABLE, arrived
from sagakit.engine.inputs import Inbound, InboundKind
from sagakit.engine.keys import is_parent, started_child
from sagakit.engine.record import NOTHING, Failure, Record
from sagakit.engine.turn import Turn, shorten
from sagakit.engine.undo_requests import cancel, pivot_passed
from sagakit.engine.verdicts import VerdictText

AFTER_THE_END: frozenset[InboundKind] = frozenset({"reverse", "release"})
"""The messages that a saga still takes after its end; both come from its parent."""


def stranger(plan: Plan, record: Record, message: Inbound) -> str:
    """Return why a message cannot come from the parent or the child that it claims; empty for all other messages."""
    check = _CHECKS.get(message.kind)
    return "" if check is None else check(plan, record, message)


def _not_from_a_child(plan: Plan, record: Record, message: Inbound) -> str:
    if message.sender is None or not message.run:
        return "it does not say which child it comes from, and which run of the parent it is for"
    if started_child(plan, record, message.sender) is None:
        return "it does not come from a child that this saga has started"
    return ""


def _not_from_the_parent(plan: Plan, record: Record, message: Inbound) -> str:
    if message.sender is None or not is_parent(record, message.sender):
        return "it does not come from this saga's parent" if record.parent else "this saga has no parent"
    return ""


_CHECKS: Mapping[InboundKind, Callable[[Plan, Record, Inbound], str]] = {
    "child-ended": _not_from_a_child,
    "reverse": _not_from_the_parent,
    "release": _not_from_the_parent,
}


def child_ended(turn: Turn, message: Inbound) -> VerdictText:
    """Take the end of a child. It may arrive before this saga knows that the child was started.

    An output that this saga cannot read is kept, and the node is held: the child has done its work, and only a person
    can say what its result is. A success of a child of an earlier group is recorded as late: an operator's retry had
    declared that this child did not happen.
    """
    child = None if message.sender is None else started_child(turn.plan, turn.record, message.sender)
    assert child is not None, "it was checked that it comes from a child"
    node, log = child.node, turn.look(child.node.name)
    if child.group < log.group and message.code is None and not log.late:
        turn.edit(node.name).late = True
        turn.emit_of(node, ".late", state=log.state)
        return "late"
    if child.group < log.group or log.state not in ("running", "waiting", "awaiting"):
        return "nothing to do"
    size, room = len(memoryview(message.payload)), turn.room()
    log = turn.edit(node.name)
    log.arrived, log.unsure, log.code = True, False, message.code
    # An output without room is replaced by a code: the child has done its work, so that the node is undone or held like
    # one whose result is lost, and must not be started again.
    if message.code is not None:
        log.detail = fitting_detail(message.payload, min(room, turn.limits.detail))
    elif size > room:
        log.code, log.result = NO_ROOM, NOTHING
        log.error = f"the child's output is too large: {size:,} bytes, {room:,} are left"
    else:
        log.result = message.payload
        if message.refused:
            log.code, log.error = UNREADABLE, shorten(message.refused)
    if log.state != "running":  # the call that starts it is still open; its end finds that the child has arrived
        arrived(turn, node)
    return "held" if log.code == UNREADABLE else "accepted"


def reverse(turn: Turn, message: Inbound) -> VerdictText:
    """Undo this saga, running or completed, because its parent undoes the node that started it."""
    record = turn.record
    if record.status == "failed":
        return "ended"
    if record.status != "completed":
        return cancel(turn, message)
    if record.released or pivot_passed(turn):
        return "too late"
    turn.replace(outcome=None)
    turn.fail(Failure("cancelled", reason=shorten(message.reason)), move="reverse")
    return "accepted"


def release(turn: Turn, message: Inbound) -> VerdictText:
    """Note that the parent has ended, so that this saga's record may go to the archive."""
    turn.record.released = True
    return "accepted"
