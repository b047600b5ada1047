"""Compensation: the end of an attempt of an undo, and the order in which undos start (P2, P4)."""

from __future__ import annotations

from typing import assert_never

from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine.forward import HAPPENED, error_of, give_up_waiting, unread
from sagakit.engine.inputs import AttemptEnded
from sagakit.engine.record import Record, SagaOutcome, StepLog
from sagakit.engine.results import ArgumentsUnreadable, Compensating, Complete, Error, NotHappened, RetryLater
from sagakit.engine.table import HELD, MOVING, StepState
from sagakit.engine.turn import Turn, backoff, shorten, spent

_GIVEN_UP: frozenset[StepState] = frozenset({"waiting", "awaiting", "sent", "check_sent"})
"""States of a node of which nothing is awaited any more once the saga turns back."""


def undo_ended(turn: Turn, node: NodePlan, ended: AttemptEnded) -> None:
    """Apply the end of a compensation's attempt. A refusal goes to a person at once, since retries cannot change it."""
    if node.undo is None:
        raise AssertionError(f"{node.name} has no compensation")
    retries = node.undo.retries
    match ended.result:
        case Complete():
            turn.move(node.name, "undone").error = None
            turn.progress()
            turn.emit_of(node, ".undone")
        case Compensating():
            _fail_undo(turn, node, f"rejected: {ended.result.code}")
        case RetryLater() | Error():
            log = turn.edit(node.name)
            log.error = shorten(error_of(ended.result))
            log.undo_unsure = log.undo_unsure or not ended.result.not_done
            if spent(retries, log.undo_attempt):
                _fail_undo(turn, node, log.error)
                return
            if not log.undo_unsure:
                log.undo_group += 1  # providers replay the stored failure for a used key; in doubt the key must stay
            delay = _delay(node, log, ended)
            turn.defer(node, "wait_undo", delay=delay)
            turn.emit_retry(node, "undo_retrying", log.undo_attempt, unknown=log.undo_unsure, delay=delay)
        case ArgumentsUnreadable():
            unread(turn, node, ended.result)
        case NotHappened():
            raise AssertionError("only a check answers NotDone")
        case _:
            assert_never(ended.result)


def proceed(turn: Turn) -> None:
    """Start every undo that may start, in reverse order of the steps' starts; end the saga when all is settled."""
    # First close the nodes that only wait: nothing goes forward any more, and their successors' undos wait for them.
    for node in turn.nodes:
        log = turn.look(node.name)
        maybe = log.state == "pending" and log.unsure  # its record was rebuilt: it may have been called before
        if maybe or log.state in _GIVEN_UP or (log.state == "blocked" and log.code in HAPPENED):
            give_up_waiting(turn, node)
    nodes = turn.nodes
    # Nodes that depend on each other are kept apart by `_those_after_settled`; the sort only orders independent ones.
    ready = [node for node in nodes if _to_undo(turn, node) and _those_after_settled(turn, node)]
    for node in () if turn.hold else sorted(ready, key=lambda node: -turn.look(node.name).order):
        turn.open(node, "undo")
    for node in nodes:
        if node.kind == "each":
            _gather(turn, node)
    if all(_settled(turn, node) for node in nodes):
        _finish(turn)


def _gather(turn: Turn, each: NodePlan) -> None:
    """Move an each when all its items are settled: it is undone if any item is, else refused if it was under way."""
    items = turn.items(each)
    if turn.look(each.name).state not in ("spread", "done") or not all(_settled(turn, item) for item in items):
        return
    if any(turn.look(item.name).state == "undone" for item in items):
        turn.move(each.name, "undone")
    elif turn.look(each.name).state == "spread":
        turn.move(each.name, "refuse")


def finish_terminated(turn: Turn) -> None:
    """End the saga without undoing anything; its outcome names the steps that were undone before."""
    turn.move_saga("terminate")
    _close(turn)


def _delay(node: NodePlan, log: StepLog, ended: AttemptEnded) -> float:
    if isinstance(ended.result, RetryLater) and ended.result.after is not None:
        return ended.result.after
    if (isinstance(ended.result, Error) and ended.result.at_once) or node.undo is None:
        return 0.0
    return backoff(node.undo.retries, log.undo_attempt, ended.jitter)


def _fail_undo(turn: Turn, node: NodePlan, error: str) -> None:
    turn.move(node.name, "fail_undo").error = shorten(error)
    turn.emit_of(node, ".undo_failed", error=shorten(error))


def to_undo(plan: Plan, record: Record) -> list[str]:
    """Return the names of the steps and items that are undone if the saga turns back now."""
    known = ((name, log) for name, log in record.steps.items() if plan.step_of(name) in plan.by_name)
    return [name for name, log in known if _is_undone(plan.node(name), log.state)]


def _to_undo(turn: Turn, node: NodePlan) -> bool:
    return _is_undone(node, turn.look(node.name).state)


def _is_undone(node: NodePlan, state: StepState) -> bool:
    """Return True if a node in this state has something to undo. An each has not: its items have."""
    return node.undo is not None and node.kind != "each" and state in ("done", "doubtful")


def _settled(turn: Turn, node: NodePlan) -> bool:
    """Return True if nothing of the node, or of its items, is open, waiting, held or still to be undone."""
    if node.kind == "each":
        return all(_settled(turn, item) for item in turn.items(node))
    state = turn.look(node.name).state
    return state not in MOVING and state not in HELD and not _to_undo(turn, node)


def _those_after_settled(turn: Turn, node: NodePlan) -> bool:
    # All descendants, not only the direct ones: a skipped node in between is settled, whatever comes after it.
    return all(_settled(turn, turn.plan.by_name[name]) for name in turn.plan.descendants[node.step])


def _finish(turn: Turn) -> None:
    turn.move_saga("fail")
    _close(turn)


def _close(turn: Turn) -> None:
    record = turn.record
    undone = tuple(name for name, log in record.steps.items() if log.state == "undone")
    late = tuple(name for name, log in record.steps.items() if log.late)
    record.outcome = SagaOutcome("failed", turn.now, failure=record.failure, compensated=undone, late_successes=late)
    failure = record.failure
    turn.emit(
        "failed",
        cause=failure.cause if failure else None,
        code=failure.code if failure else None,
        step=failure.step if failure else None,
        undone=undone,
        late=late,
    )
