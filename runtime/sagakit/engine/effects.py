"""`effects` and `questions`: what a record asks its owner to do, derived from the record alone.

See docs/architecture.md, "The engine".
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from sagakit.definition.plan import Plan
from sagakit.engine.apply import apply
from sagakit.engine.inputs import Inbound, Published
from sagakit.engine.keys import CallKind, child_id, key_of, sender_of
from sagakit.engine.readiness import ready, undecided, unprepared
from sagakit.engine.record import Parent, Record, StepLog
from sagakit.engine.table import ENDS, StepState
from sagakit.engine.turn import Limits, all_passed


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Call the step's action, check or compensation; answer with `Ended(step, call, ...)`.

    `timeout` bounds the call, `heartbeat` its silence; in seconds. `waits` says that nothing is done meanwhile but to
    wait for another saga.
    """

    step: str
    kind: CallKind
    call: int
    key: str
    action_key: str
    attempt: int
    timeout: float
    heartbeat: float | None = None
    waits: bool = False


class Publish(msgspec.Struct, frozen=True):
    """Put the events of the record's outbox into the log, in order; answer with `Published`."""


class WakeAt(msgspec.Struct, frozen=True):
    """Apply again at this time, in seconds since the epoch."""

    at: float


class TellParent(msgspec.Struct, frozen=True):
    """Tell the parent of the end, durably; keep the record until the parent has released it."""

    parent: Parent
    message: Inbound


class Finish(msgspec.Struct, frozen=True):
    """Once the outbox is in the log: release the children, archive the record, put the end marker in its place.

    `children` are types and ids.
    """

    children: tuple[tuple[str, str], ...] = ()


Effect: TypeAlias = Call | Publish | WakeAt | TellParent | Finish


class Decide(msgspec.Struct, frozen=True):
    """Whether to run the step: evaluate its `when=`; answer with `Decided`."""

    step: str


class Prepare(msgspec.Struct, frozen=True):
    """What the node starts with: compute it; answer with `Prepared`."""

    step: str


class MakeOutput(msgspec.Struct, frozen=True):
    """Compute the saga's output; answer with `OutputMade`."""


Question: TypeAlias = Decide | Prepare | MakeOutput

_KIND: dict[StepState, CallKind] = {"running": "do", "checking": "check", "undoing": "undo"}
_KIND_BACK: dict[StepState, CallKind] = {"checking": "check", "undoing": "undo"}
"""Nothing goes forward once compensation has begun (P2)."""


def effects(plan: Plan, record: Record) -> list[Effect]:
    """Everything that the record, being durable, allows and asks for. Performing an effect twice is harmless.

    A call that was asked for and is not any more is not to be made, if it was not yet; its end is awaited all the same.
    """
    found: list[Effect] = []
    if record.outbox:
        found.append(Publish())
    if record.status in ENDS:
        found.append(_end(plan, record))
        return found
    if record.halted:
        return found
    kinds = _KIND if record.failure is None else _KIND_BACK
    for step, log in record.steps.items():
        if log.state in kinds:
            found.append(_call(plan, record, step, log, kinds[log.state]))
    if record.wake_at is not None:
        found.append(WakeAt(record.wake_at))
    return found


def questions(plan: Plan, record: Record) -> list[Question]:
    """What must be asked of the definition before the record is written. The functions asked are free of effects."""
    if record.status != "running" or record.failure is not None or record.undo_request is not None:
        return []
    if plan.asks:
        waiting = ready(plan, record)
        asked: list[Question] = [Decide(node.name) for node in waiting if undecided(node, record)]
        asked = asked or [Prepare(node.name) for node in waiting if unprepared(node, record)]
        if asked:
            return asked
    return [MakeOutput()] if plan.has_output and all_passed(plan, record) else []


def goes_on(plan: Plan, record: Record, now: float, *, published: int, limits: Limits) -> bool:
    """Whether a saga that was held back would go on now; events up to `published` are in the log."""
    return (
        bool(questions(plan, record)) or apply(plan, record, [Published(published)], now, limits=limits) is not record
    )


def _end(plan: Plan, record: Record) -> Effect:
    if record.parent is None or record.released:
        children = (node for node in plan.nodes if node.child_type and node.name in record.steps)
        return Finish(
            tuple(
                (node.child_type, child_id(record, node.name, group))
                for node in children
                for group in range(1, record.steps[node.name].group + 1)
                if record.steps[node.name].calls
            )
        )
    outcome, failure = record.outcome, record.failure
    assert outcome is not None, "a terminal record has an outcome"
    code = None if failure is None else failure.code or failure.cause
    return TellParent(
        record.parent,
        Inbound(
            id=f"{record.run}.ended.{outcome.status}",
            kind="child-ended",
            run=record.parent.run,
            sender=sender_of(record),
            step=record.parent.node,
            payload=outcome.output if failure is None else failure.detail,
            code=code,
            reason=(failure.reason if failure is not None else None) or "",
        ),
    )


def _call(plan: Plan, record: Record, step: str, log: StepLog, kind: CallKind) -> Call:
    node = plan.node(step)
    attempt = log.attempt if kind == "do" else log.check_attempt if kind == "check" else log.undo_attempt
    timeout = node.undo.timeout if kind == "undo" and node.undo is not None else node.timeout
    action_key = key_of(record, step, "do", log)
    return Call(
        step=step,
        kind=kind,
        call=log.calls,
        key=action_key if kind == "do" else key_of(record, step, kind, log),
        action_key=action_key,
        attempt=attempt,
        timeout=timeout,
        heartbeat=node.heartbeat if kind == "do" else None,
        waits=kind == "undo" and node.child_type != "",
    )
