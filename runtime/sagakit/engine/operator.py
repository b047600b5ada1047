"""The operator's verbs for a saga that is stuck. Each is audited as an event, with its author and reason."""

from __future__ import annotations

from sagakit.definition.plan import NodePlan
from sagakit.engine.audit import audit
from sagakit.engine.forward import HAPPENED, succeed
from sagakit.engine.inputs import Inbound
from sagakit.engine.item_ranges import in_ranges
from sagakit.engine.record import NOTHING, Failure, UndoRequest
from sagakit.engine.results import Complete
from sagakit.engine.turn import Turn, shorten
from sagakit.engine.undo_requests import pivot_open, pivot_passed
from sagakit.engine.verdicts import VerdictText


def retry(turn: Turn, message: Inbound) -> VerdictText:
    """Give everything that is held a fresh budget and a new key group; let a halted saga go on just as it was."""
    if turn.record.status != "stuck":
        return "nothing to do"
    if turn.record.halted:
        return _go_on(turn, message)
    moved = [node.name for node in turn.nodes if _again(turn, node)]
    held_output = turn.forward and turn.all_passed
    if not moved and not held_output:
        return "nothing to do"
    return _go_on(turn, message, **_groups(turn, moved))


def mark_undone(turn: Turn, message: Inbound) -> VerdictText:
    """Note that a person has done a compensation by hand."""
    log = turn.record.steps.get(message.step)
    if log is None or log.state not in ("undo_failed", "undo_waiting"):
        return "nothing to do"
    turn.move(message.step, "undone").error = None
    turn.emit_of(turn.plan.node(message.step), ".undone", by=message.by)
    return _go_on(turn, message)


def complete_step(turn: Turn, message: Inbound) -> VerdictText:
    """Give a step that failed, or whose outcome is unknown, a result by hand."""
    log = turn.record.steps.get(message.step)
    if log is None or log.state not in ("waiting", "check_waiting", "asked", "blocked") or turn.record.halted:
        return "nothing to do"
    node = turn.plan.node(message.step)
    if node.kind == "each":
        return "nothing to do"
    if len(memoryview(message.payload)) > turn.room():
        return "too large"
    succeed(turn, node, Complete(message.payload))
    return _go_on(turn, message)


def compensate(turn: Turn, message: Inbound) -> VerdictText:
    """Undo everything that can be undone, also for a saga that is stuck at or after its pivot."""
    record = turn.record
    if not turn.forward:
        return "already"
    if record.status != "stuck" or record.halted:
        if pivot_passed(turn):
            return "too late"
        audit(turn, message)
        record.undo_request = record.undo_request or UndoRequest("cancelled", shorten(message.reason))
        return "waiting" if record.halted or pivot_open(turn) else "accepted"
    audit(turn, message)
    for node in turn.nodes:
        log = turn.look(node.name)
        if log.state == "asked" or (log.state == "blocked" and log.unsure):
            turn.move(node.name, "doubt")
        elif log.state == "blocked":
            turn.move(node.name, "refuse")
    turn.fail(Failure("cancelled", reason=shorten(message.reason)))
    return "accepted"


def _go_on(turn: Turn, message: Inbound, **data: object) -> VerdictText:
    if turn.record.status == "stuck":
        turn.resume()
    step = {"step": message.step} if message.step else {}
    audit(turn, message, **step, **data)
    return "accepted"


def _groups(turn: Turn, steps: list[str]) -> dict[str, object]:
    """Return the key groups of the next attempts of these steps: of actions, and of undos."""
    logs = {step: turn.look(step) for step in steps}
    actions = {step: log.group for step, log in logs.items() if log.state != "undo_waiting"}
    undos = {step: log.undo_group for step, log in logs.items() if log.state == "undo_waiting"}
    told = {"groups": in_ranges(actions), "undo_groups": in_ranges(undos)}
    return {name: ranges for name, ranges in told.items() if ranges}


def _again(turn: Turn, node: NodePlan) -> bool:
    """Let one node try again; return False if it is not held, or must not be tried again."""
    match turn.look(node.name).state:
        case "undo_failed":
            log = turn.edit(node.name)
            log.undo_attempt, log.undo_group, log.undo_unsure = 0, log.undo_group + 1, False
            turn.defer(node, "wait_undo", delay=0.0)
        case "asked" if node.has_check:
            turn.edit(node.name).check_attempt = 0
            turn.defer(node, "wait_check", delay=0.0)
        case "blocked" if turn.forward and not turn.look(node.name).calls:
            # The node was never called: its condition or preparation failed, or its signal did not come. An arrived
            # signal stays, and ends the node as soon as it begins again.
            log = turn.move(node.name, "reset")
            log.code, log.detail = None, NOTHING
        case "blocked" if turn.look(node.name).code in HAPPENED:
            return False  # the child is done: complete-step gives the node a result, compensate undoes it
        case "asked" | "blocked" if turn.forward:
            log = turn.edit(node.name)
            log.attempt = 0
            if node.endpoints is None or not log.unsure:  # the participant knows the key, and does the work once
                log.group, log.unsure, log.since = log.group + 1, False, None
            log.code, log.detail, log.arrived, log.result = None, NOTHING, False, NOTHING
            if node.of:
                turn.move(node.name, "reset")  # the item begins again when its each has room for it
            else:
                turn.defer(node, "wait", delay=0.0)
        case _:
            return False
    return True
