"""The way forward: what the end of an attempt of an action or a check leads to."""

from __future__ import annotations

from typing import assert_never

import msgspec

from sagakit.definition.plan import NodePlan
from sagakit.engine.details import fitting_detail
from sagakit.engine.inputs import AttemptEnded
from sagakit.engine.record import NOTHING, Failure, StepLog
from sagakit.engine.results import (
    ArgumentsUnreadable,
    AttemptResult,
    Compensating,
    Complete,
    Error,
    NotHappened,
    RetryLater,
)
from sagakit.engine.table import OUT, StepMove
from sagakit.engine.turn import Turn, backoff, shorten, spent

NO_ROOM = "sagakit: output too large"
"""Code of a child that is done and for whose output the record has no room."""
UNREADABLE = "sagakit: output not readable"
"""Code of a child that is done and whose output its parent cannot read."""
TOO_LARGE = "result too large: "
"""Beginning of the error of an attempt that is done and for whose result the record has no room."""
HAPPENED: frozenset[str] = frozenset({NO_ROOM, UNREADABLE})
"""Codes of children that have done their work; starting another one would do the work twice."""

_NULL = msgspec.Raw(b"null")
"""The result of a node that ends without one: a signal without payload, a child without output."""


def action_ended(turn: Turn, node: NodePlan, ended: AttemptEnded) -> None:
    """Apply the end of an action's attempt: done, refused, known not done, or unknown."""
    result = _bounded(turn, ended.result)
    if node.kind == "child" and (isinstance(result, Complete) or turn.look(node.name).arrived):
        _child_started(turn, node)
        return
    match result:
        case Complete():
            succeed(turn, node, result)
        case Compensating():
            _refused(turn, node, result)
        case RetryLater() | Error():
            log = turn.edit(node.name)
            log.error = shorten(error_of(result))
            # Doubt stays: an earlier attempt under this key may still happen, whatever is known of the last one (P3).
            log.unsure = log.unsure or not result.not_done
            if log.unsure:
                _unknown(turn, node, ended, result)
            else:
                _known_not_done(turn, node, log, delay_after(node, log, ended))
        case ArgumentsUnreadable():
            unread(turn, node, result)
        case NotHappened():
            raise AssertionError("only a check answers NotDone")
        case _:
            assert_never(result)


def _child_started(turn: Turn, node: NodePlan) -> None:
    """Wait for the end of a child that was started, or take it if it has come already.

    A child that has told its end was started, even if the call that started it seemed to fail.
    """
    log = turn.move(node.name, "await")
    log.unsure = False
    if log.arrived:
        arrived(turn, node)


def check_ended(turn: Turn, node: NodePlan, ended: AttemptEnded) -> None:
    """Apply a check's answer. A check that fails is retried within the step's retry budget; then a person is asked."""
    result = _bounded(turn, ended.result)
    log = turn.edit(node.name)
    match result:
        case Complete():
            succeed(turn, node, result)
        case NotHappened():
            log.unsure = False  # a check's "not done" is final: it did not happen and no longer can (P3)
            if log.code is not None:  # the action was refused while in doubt; the doubt is settled, the refusal counts
                _refused(turn, node, Compensating(code=log.code, detail=log.detail))
            else:
                _known_not_done(turn, node, log, backoff(node.retries, log.attempt, ended.jitter))
        case RetryLater() | Error() | Compensating():
            log.error = shorten(error_of(result))
            if spent(node.retries, log.check_attempt):
                turn.move(node.name, "ask")
            else:
                delay = _asked_delay(result)
                wait = backoff(node.retries, log.check_attempt, ended.jitter) if delay is None else delay
                turn.defer(node, "wait_check", delay=wait)
                turn.emit_retry(node, "check_retrying", log.check_attempt, unknown=True, delay=wait)
        case ArgumentsUnreadable():
            unread(turn, node, result)
        case _:
            assert_never(result)


def unread(turn: Turn, node: NodePlan, result: ArgumentsUnreadable) -> None:
    """Close an attempt whose arguments could not be read as if it had never been opened, and halt the saga.

    The attempt costs neither budget nor key: once the record can be read, `retry` opens the same attempt again. A saga
    that has turned back meanwhile does not want the action any more, and is not halted for it.
    """
    log = turn.edit(node.name)
    log.error = shorten(result.error)
    move: StepMove
    if log.state == "running":
        move, log.attempt = "wait", log.attempt - 1
        log.unsure = log.unsure or not result.not_done
    elif log.state == "checking":
        move, log.check_attempt = "wait_check", log.check_attempt - 1
    else:
        move, log.undo_attempt = "wait_undo", log.undo_attempt - 1
        log.undo_unsure = log.undo_unsure or not result.not_done
    turn.defer(node, move, delay=0.0)
    if turn.forward or move != "wait":
        turn.halt(f"{node.name}: {result.error}")


def give_up_waiting(turn: Turn, node: NodePlan) -> None:
    """Close a node that waited when compensation began: nothing goes forward any more (P2).

    A child that has begun is undone. So is what is out at a participant, at once: there the undo meets the action.
    """
    log = turn.look(node.name)
    if log.state in OUT:
        log = turn.edit(node.name)
        log.unsure = True  # so that a success which is told from now on is recorded as late
    in_doubt = node.kind == "child" if log.state == "awaiting" else log.unsure
    turn.move(node.name, "doubt" if in_doubt else "refuse")


def arrived(turn: Turn, node: NodePlan) -> None:
    """Continue a node when the signal, or the end of the child, that it waits for has come."""
    log = turn.look(node.name)
    if log.code is None:
        succeed(turn, node, Complete(log.result))
    elif log.code == NO_ROOM:
        turn.edit(node.name).unsure = True  # the child is done without a known result: undone like an attempt in doubt
        _settle_doubt(turn, node, Failure("exhausted", step=node.name, reason=log.error))
    elif log.code == UNREADABLE:
        turn.edit(node.name).unsure = True
        if turn.forward:
            turn.move(node.name, "block")  # a saga that turns back undoes it with the rest instead
    else:
        _refused(turn, node, Compensating(code=log.code, detail=log.detail))


def wait_is_over(turn: Turn, node: NodePlan) -> None:
    """End the wait of a node: its timer is due, or its signal did not come in time."""
    if node.kind == "timer" or node.on_timeout == "continue":
        succeed(turn, node, Complete())
        return
    reason = f"no signal {node.name} within {node.wait:g} s"
    turn.edit(node.name).error = reason
    if node.position == "before":
        turn.move(node.name, "refuse")
        turn.fail(Failure("deadline", step=node.name, reason=reason))
    else:
        turn.move(node.name, "block")


def succeed(turn: Turn, node: NodePlan, result: Complete) -> None:
    """Note that the action happened, with its result; what went wrong before is forgotten."""
    # the event `signalled` has carried the payload of a signal already
    told = node.kind == "signal" and result.result is turn.look(node.name).result
    log = turn.move(node.name, "succeed")
    log.result = result.result if result.result is not NOTHING else _NULL
    log.unsure = False
    log.error = log.code = None
    log.detail = NOTHING
    turn.progress()
    turn.emit_of(node, "", "" if told or bytes(log.result) == _NULL else "result", attempt=log.attempt)
    if node.of:
        gather(turn, turn.plan.by_name[node.of])


def happened(turn: Turn, node: NodePlan, result: Complete) -> None:
    """Note that an action in doubt happened after all. A saga that was stuck for it goes on."""
    succeed(turn, node, result)
    turn.unblock()


def gather(turn: Turn, each: NodePlan) -> None:
    """End an each when all of its items are done."""
    log = turn.look(each.name)
    items = turn.items(each)
    if (
        log.state == "spread"
        and len(items) == log.items
        and all(turn.look(item.name).state == "done" for item in items)
    ):
        turn.move(each.name, "succeed")
        turn.emit_of(each, items=log.items)


def delay_after(node: NodePlan, log: StepLog, ended: AttemptEnded) -> float:
    """Return the seconds until the action's next attempt: those that it asked for, else those of its retry policy."""
    delay = _asked_delay(ended.result)
    return backoff(node.retries, log.attempt, ended.jitter) if delay is None else delay


def error_of(result: AttemptResult) -> str:
    """Return the error of a result as text; empty if nothing went wrong."""
    match result:
        case RetryLater(reason=text) | Error(error=text) | ArgumentsUnreadable(error=text) | Compensating(code=text):
            return text
        case Complete() | NotHappened():
            return ""
        case _:
            assert_never(result)


def _asked_delay(result: AttemptResult) -> float | None:
    if isinstance(result, RetryLater):
        return result.after
    return 0.0 if isinstance(result, Error) and result.at_once else None


def _bounded(turn: Turn, result: AttemptResult) -> AttemptResult:
    """Return the result, or an unknown one if the record has no room for it: the action happened without a result."""
    if not isinstance(result, Complete):
        return result
    size, room = len(memoryview(result.result)), turn.room()
    if size <= room:
        return result
    advice = "keep large data elsewhere and return a reference"
    return Error(error=f"{TOO_LARGE}{size:,} bytes, {room:,} are left: {advice}")


def _refused(turn: Turn, node: NodePlan, result: Compensating) -> None:
    log = turn.edit(node.name)
    note_refusal(turn, log, result)
    failure = Failure("rejected", code=log.code, detail=log.detail, step=node.name)
    if log.unsure and (node.on_unknown != "retry" or node.position == "before"):
        # An earlier attempt under this key may have happened, so the refusal may be of the second call only. An undo, a
        # check or a person settles that, and costs little more than trust in the refusal.
        _settle_doubt(turn, node, failure)
    elif node.position == "after":
        turn.move(node.name, "block")
    else:
        # At the pivot nothing may be undone in doubt (P5). There the refusal is believed, even for a key that may have
        # been used before: known not done (P3).
        log.unsure = False
        turn.move(node.name, "refuse")
        turn.fail(failure)


def note_refusal(turn: Turn, log: StepLog, result: Compensating) -> None:
    """Note the reason why a participant has refused the action."""
    log.error, log.code = f"rejected: {shorten(result.code)}", shorten(result.code)
    log.detail = fitting_detail(result.detail, turn.limits.detail)


def _unknown(turn: Turn, node: NodePlan, ended: AttemptEnded, result: RetryLater | Error) -> None:
    log = turn.look(node.name)
    if turn.forward and node.on_unknown == "retry" and not spent(node.retries, log.attempt):
        _retry(turn, node, delay=delay_after(node, log, ended))
        return
    _settle_doubt(turn, node, Failure("exhausted", step=node.name, reason=shorten(error_of(result))))


def _settle_doubt(turn: Turn, node: NodePlan, failure: Failure) -> None:
    """End the attempts under a key in doubt, as the step's policy says: check, ask a person, or give up and undo.

    At and after the pivot there is no giving up: the step is blocked, and the saga becomes stuck (P5).
    """
    if node.on_unknown == "check":
        turn.edit(node.name).check_attempt = 0
        if turn.hold:
            turn.defer(node, "wait_check", delay=0.0)
        else:
            turn.open(node, "check")
    elif node.on_unknown == "ask":
        turn.move(node.name, "ask")
    elif node.position != "before":
        turn.move(node.name, "block")
    else:
        turn.move(node.name, "doubt")
        turn.fail(failure)


def _known_not_done(turn: Turn, node: NodePlan, log: StepLog, delay: float) -> None:
    # a new key, since providers replay the stored failure for a used one; safe: nothing is in doubt
    log.group, log.since = log.group + 1, None
    if not turn.forward:
        turn.move(node.name, "refuse")
    elif not spent(node.retries, log.attempt):
        _retry(turn, node, delay=delay)
    elif node.position != "before":
        turn.move(node.name, "block")
    else:
        turn.move(node.name, "refuse")
        turn.fail(Failure("exhausted", step=node.name, reason=log.error))


def _retry(turn: Turn, node: NodePlan, *, delay: float) -> None:
    turn.defer(node, "wait", delay=delay)
    log = turn.look(node.name)
    turn.emit_retry(node, "retrying", log.attempt, unknown=log.unsure, delay=delay)
