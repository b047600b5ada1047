"""What a parent and its child tell each other, and how it is checked that they are what they say.

A message that is not from the parent, or not from a child, of this very run is refused before it is applied, and leaves
no trace: its id may be the one that the true relative will use. After the check all of it is idempotent.
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
"""What a child whose saga has ended still hears of: from its parent."""


def stranger(plan: Plan, record: Record, message: Inbound) -> str:
    """Return what shows that a message between parent and child does not come from there; empty if nothing does."""
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
    """Take a child's end, which may be told before its start is known to have happened.

    An output that this saga cannot read is kept, and the node held: the child has done its work, and only a person can
    say what that comes to. A child of an earlier group, of which an operator's retry has said that it never was, goes
    into the account.
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
    if message.code is not None:
        log.detail = fitting_detail(message.payload, min(room, turn.limits.detail))
    elif size > room:
        log.code, log.result = NO_ROOM, NOTHING
        log.error = f"the child's output is too large: {size:,} bytes, {room:,} are left"
    else:
        log.result = message.payload
        if message.refused:
            log.code, log.error = UNREADABLE, shorten(message.refused)
    if log.state != "running":
        arrived(turn, node)
    return "held" if log.code == UNREADABLE else "accepted"


def reverse(turn: Turn, message: Inbound) -> VerdictText:
    """Undo a child, running or completed: its parent is undone."""
    record = turn.record
    if record.status == "failed":
        return "ended"
    if record.status != "completed":
        return cancel(turn, message)
    if record.released or pivot_passed(turn):
        return "too late"
    record.outcome = None
    turn.fail(Failure("cancelled", reason=shorten(message.reason)), move="reverse")
    return "accepted"


def release(turn: Turn, message: Inbound) -> VerdictText:
    """Note that the parent has ended: the child's record need not be kept for it any more."""
    turn.record.released = True
    return "accepted"
