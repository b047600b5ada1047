"""Beginning a node: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

import msgspec

from sagakit.definition.plan import Kind, NodePlan, item_name
from sagakit.engine.forward import action_ended, arrived, gather, wait_is_over
from sagakit.engine.inputs import AttemptEnded
from sagakit.engine.record import NOTHING
from sagakit.engine.results import Error
from sagakit.engine.table import MOVING
from sagakit.engine.turn import Turn

LOST = "no event tells whether it was called before its record was rebuilt"


def begin(turn: Turn, node: NodePlan) -> None:
    """Begin a node whose predecessors are all done or skipped. Nodes of some kinds may be done at once."""
    _BEGIN[node.kind](turn, node)


def begin_items(turn: Turn) -> None:
    """Begin the next items of every each, up to the number that may be under way at the same time."""
    for each in turn.plan.nodes:
        log = turn.look(each.name)
        if log.state != "spread":
            continue
        states = {item.name: turn.look(item.name).state for item in turn.items(each)}
        # An item that is held (asked, blocked) takes no place: the others go on while a person is asked about it.
        room = each.max_concurrent - sum(state in MOVING for state in states.values())
        # Items enter the step log when they begin. A pending item in it was reset by an operator, and begins again.
        names = (item_name(each.name, number) for number in range(log.items))
        pending = (name for name in names if states.get(name, "pending") == "pending")
        for name in islice(pending, max(room, 0)):
            _call(turn, turn.plan.node(name))


def _call(turn: Turn, node: NodePlan) -> None:
    log = turn.look(node.name)
    in_doubt = log.unsure and node.on_unknown != "retry"
    turn.open(node, "start")
    if in_doubt and (log := turn.look(node.name)).state == "running":
        # its record was rebuilt: the attempt may have been made already, and counts as one whose worker was lost
        action_ended(turn, node, AttemptEnded(node.name, log.calls, Error(error=LOST)))


def _await_signal(turn: Turn, node: NodePlan) -> None:
    log = turn.move(node.name, "await")
    if log.arrived:
        arrived(turn, node)
    elif node.wait is not None:
        log.due = turn.now + node.wait


def _await_time(turn: Turn, node: NodePlan) -> None:
    log = turn.move(node.name, "await")
    delay = node.wait if node.wait is not None else 0.0
    log.due = turn.now + delay if log.given is NOTHING else msgspec.json.decode(log.given, type=float)
    if log.due <= turn.now:
        wait_is_over(turn, node)


def _spread(turn: Turn, node: NodePlan) -> None:
    log = turn.move(node.name, "spread")
    if log.items:
        turn.emit_of(node, ".spread", "given", items=log.items)
    gather(turn, node)  # an each without items is done at once


_BEGIN: Mapping[Kind, Callable[[Turn, NodePlan], None]] = {
    "step": _call,
    "child": _call,
    "remote": _call,
    "signal": _await_signal,
    "timer": _await_time,
    "each": _spread,
}
