"""What it means to begin a node, by its kind."""

from __future__ import annotations

from itertools import islice

import msgspec

from sagakit.definition.plan import Kind, NodePlan, item_name
from sagakit.engine.forward import arrived, gather, wait_is_over
from sagakit.engine.record import NOTHING
from sagakit.engine.table import MOVING
from sagakit.engine.turn import Turn

CALLED: frozenset[Kind] = frozenset({"step", "child"})
"""To begin one of these is to open an attempt."""


def begin(turn: Turn, node: NodePlan) -> None:
    """Begin a node of which all that it comes after is done or skipped; some are done at once."""
    _BEGIN[node.kind](turn, node)


def begin_items(turn: Turn) -> None:
    """Let each each's next items begin, as many as may be under way at once."""
    for each in turn.plan.nodes:
        log = turn.look(each.name)
        if log.state != "spread":
            continue
        states = {item.name: turn.look(item.name).state for item in turn.items(each)}
        room = each.parallel - sum(state in MOVING for state in states.values())
        names = (item_name(each.name, number) for number in range(log.items))
        pending = (name for name in names if states.get(name, "pending") == "pending")
        for name in islice(pending, max(room, 0)):
            turn.open(turn.plan.node(name), "start")


def _call(turn: Turn, node: NodePlan) -> None:
    turn.open(node, "start")


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
    turn.move(node.name, "spread")
    gather(turn, node)  # there may be no items


_BEGIN = {"step": _call, "child": _call, "signal": _await_signal, "timer": _await_time, "each": _spread}
