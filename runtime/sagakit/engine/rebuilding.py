"""Rebuilding: a record of a saga whose record was lost, from what its events have told.

The last events may be lost, too: those that were not published yet. So nothing counts as not called. Each step that no
event tells of is in doubt: when the saga goes on, its action is called under the key that it had, or checked, or asked
about, as its policy says; if the saga turns back, it is undone. Only an end that an event tells is an end.
"""

from __future__ import annotations

from msgspec import structs

from sagakit.definition.plan import CALLED, Plan, item_name
from sagakit.engine.events import make_event
from sagakit.engine.record import Record, StepLog
from sagakit.engine.table import ENDS, PASSED, StepState

_BETWEEN: frozenset[StepState] = frozenset({"waiting", "check_waiting", "blocked", "asked"})
"""States after which another attempt may have begun that no event tells of."""
_SETTLED: frozenset[StepState] = frozenset({"done", "undone", "undo_failed", "undo_waiting"})


def rebuilt(plan: Plan, told: Record, *, next_event: int, now: float, by: str, why: str) -> Record:
    """Return the record to store for a saga: it has ended, or it is stuck until an operator lets it go on.

    `told` is what the events have told, `next_event` the number after the last event in the log. The run stays, and so
    do the idempotency keys. Open attempts are closed by the owner that adopts the record, as those of a dead worker.
    """
    record = structs.replace(told, plan_digest=plan.digest, next_event=next_event, steps=dict(told.steps))
    if record.undo_request is not None and plan.pivot is not None and _is_passed(record, plan.pivot.name):
        record.undo_request = None  # it waited for the pivot, and came too late
    if record.status in ENDS:
        return _with_skipped(plan, record) if record.status == "completed" else record
    for node in plan.nodes:
        log = record.steps.get(node.name)
        if node.kind == "each" and log is not None and log.state == "spread":
            names = [item_name(node.name, number) for number in range(log.items)]
            record.steps.update({name: _in_doubt(record.steps.get(name)) for name in names})
            if all(record.steps[name].state == "done" for name in names):  # only its own event is lost
                record.steps[node.name] = structs.replace(log, state="done")
        elif node.kind in CALLED:
            was_skipped = node.condition and log is None and _is_passed_by(plan, record, node.name)
            doubted = StepLog(state="skipped") if was_skipped else _in_doubt(log)
            record.steps[node.name] = _sent_again(doubted) if node.kind == "remote" else doubted
    record.status, record.halted, record.updated_at = "stuck", True, max(now, record.updated_at)
    record.stuck = f"rebuilt from its events: {why}"
    # the second one for listings, which find the stuck by their events
    for suffix, data in (("operator.rebuild", {"by": by, "reason": why}), ("stuck", {"reason": record.stuck})):
        event = make_event(record, suffix, dict(data), now=record.updated_at)
        record.outbox, record.next_event = [*record.outbox, event], record.next_event + 1
    return record


def _in_doubt(log: StepLog | None) -> StepLog:
    """Return the entry of a step of which no event tells how it has ended."""
    if log is None or log.state == "pending":
        return structs.replace(log or StepLog(), unsure=True)
    if log.state in _BETWEEN:
        state: StepState = "checking" if log.state == "check_waiting" else "running"
        # with a fresh budget, since the operator who lets it go on says `retry`
        return structs.replace(log, state=state, calls=log.calls + 1, attempt=0, check_attempt=0, due=None, unsure=True)
    if log.state in _SETTLED:
        # an undo may have begun under the present key, whether or not an event says that the saga has turned back
        state = "undo_waiting" if log.state == "undo_failed" else log.state
        due = 0.0 if state == "undo_waiting" else None
        return structs.replace(log, state=state, undo_unsure=True, undo_attempt=0, due=due)
    return log


def _sent_again(log: StepLog) -> StepLog:
    """Return the entry of a remote node: its command is sent again under its key, and the participant knows that one.

    `send` computes the payload again: events do not tell it.
    """
    if log.state in ("running", "checking"):
        return structs.replace(log, state="pending", calls=log.calls - 1)
    return log


def _is_passed_by(plan: Plan, record: Record, step: str) -> bool:
    """Return True if an event tells of a node that comes after this one, so that this one was done or skipped."""
    return any(name in record.steps and record.steps[name].order for name in plan.descendants[step])


def _is_passed(record: Record, step: str) -> bool:
    return step in record.steps and record.steps[step].state in PASSED


def _with_skipped(plan: Plan, record: Record) -> Record:
    """Return a completed record in which the nodes that no event tells of are skipped: all others are done."""
    for node in plan.nodes:
        if not _is_passed(record, node.name):
            record.steps[node.name] = StepLog(state="skipped")
    return record
