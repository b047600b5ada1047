"""The definition's answers to the engine's questions: conditions, start values of nodes, and the output.

A definition that cannot answer gives its node up like a step that failed: the saga turns back before the pivot, and
stops for a person after it. Where the record cannot be read as this worker's types, the saga is halted instead: another
worker, or this one after a correction, can still answer.
"""

from __future__ import annotations

import msgspec

from sagakit.definition.plan import NodePlan
from sagakit.engine.inputs import Decided, OutputMade, Prepared
from sagakit.engine.record import NOTHING, Failure, SagaOutcome
from sagakit.engine.turn import ITEM_SIZE, Turn, shorten


def decided(turn: Turn, event: Decided) -> None:
    """Apply the value of a node's condition."""
    node = turn.plan.by_name[event.step]
    if event.error is not None:
        _cannot_begin(turn, node, event.error, unreadable=event.unreadable)
    elif event.run:
        turn.edit(event.step).decided = True  # begun only when all questions are answered: see `apply._start_ready`
    else:
        turn.move(event.step, "skip")


def prepared(turn: Turn, event: Prepared) -> None:
    """Keep the value that a node starts with, if the record has room for it."""
    node = turn.plan.by_name[event.step]
    given = event.value if event.due is None else msgspec.Raw(msgspec.json.encode(event.due))
    # Each item takes an entry in the step log, even before it has a result: room for all entries is claimed at once.
    size, room = len(memoryview(given)) + event.items * ITEM_SIZE, turn.room()
    if event.error is not None:
        _cannot_begin(turn, node, event.error, unreadable=event.unreadable)
    elif event.items > turn.limits.items:
        _cannot_begin(turn, node, f"too many items: {event.items:,}; {turn.limits.items:,} are allowed")
    elif size > room:
        _cannot_begin(turn, node, f"what it starts with is too large: {size:,} bytes, {room:,} are left")
    else:
        log = turn.edit(event.step)
        log.given, log.items = given, event.items


def output_made(turn: Turn, event: OutputMade) -> None:
    """Complete the saga with its output, or make it stuck: with all steps done, an output is no reason to undo them."""
    size, room = len(memoryview(event.output)), turn.room()
    if event.error is not None:
        turn.block(f"output: {event.error}")
    elif size > room:
        turn.block(f"output: too large: {size:,} bytes, {room:,} are left")
    else:
        complete(turn, event.output)


def complete(turn: Turn, output: msgspec.Raw) -> None:
    """End the saga with its output."""
    turn.move_saga("complete")
    turn.record.outcome = SagaOutcome("completed", turn.now, output=output)
    turn.emit("completed", "output" if output is not NOTHING else "")


def _cannot_begin(turn: Turn, node: NodePlan, error: str, *, unreadable: bool = False) -> None:
    turn.edit(node.name).error = shorten(error)
    if unreadable:
        turn.halt(f"{node.name}: {error}")
    elif node.position == "before":
        turn.move(node.name, "refuse")
        turn.fail(Failure("exhausted", step=node.name, reason=shorten(error)))
    else:
        turn.move(node.name, "block")
