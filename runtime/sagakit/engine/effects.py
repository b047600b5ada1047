"""`effects` and `questions`: the work that a record asks its owner to do, derived from the record alone.

See docs/architecture.md, "The engine".
"""

from __future__ import annotations

from typing import TypeAlias, final

import msgspec

from sagakit.definition.plan import Plan
from sagakit.engine.apply import apply
from sagakit.engine.inputs import Inbound, Published
from sagakit.engine.keys import CallKind, child_id, key_of, sender_of
from sagakit.engine.readiness import ready, undecided, unprepared
from sagakit.engine.record import NOTHING, Parent, Record, StepLog
from sagakit.engine.remote import endpoint_of
from sagakit.engine.table import ENDS, StepState
from sagakit.engine.turn import Limits, all_passed, timeout_of


@final
class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Call the step's action, check or compensation; answer with `AttemptEnded(step, call, ...)`.

    `timeout` bounds the call and `heartbeat` the time between its signs of life, in seconds. `waits` is true if the
    call does nothing but wait for another saga.
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


@final
class SendCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Have JetStream take a command to a participant; answer with `CommandSent`. A reply comes as an inbound message.

    It is the same each time that a record asks for it, so that its bytes are, too. `attempt` is the number of the call,
    `key_since` the time from which on commands under `action_key` may have been sent, `deadline` that until which the
    reply is awaited at first, both in seconds since the epoch. `result` is that of the action, for an undo. `heartbeat`
    is how often the participant has to show life, in seconds; None if it need not.
    """

    step: str
    endpoint: str
    kind: CallKind
    key: str
    action_key: str
    key_since: float
    attempt: int
    deadline: float
    payload: msgspec.Raw
    result: msgspec.Raw = NOTHING
    heartbeat: float | None = None


@final
class MindSilence(msgspec.Struct, frozen=True, kw_only=True):
    """End an attempt that is out with `Unanswered` once its participant has shown no life for `heartbeat` seconds.

    They begin when this effect is first performed, and again with each heartbeat and after each outage. So a new owner
    grants the whole time, and no heartbeat has to be written down.
    """

    step: str
    key: str
    attempt: int
    heartbeat: float


@final
class Publish(msgspec.Struct, frozen=True):
    """Put the events of the record's outbox into the log, in order; answer with `Published`."""


@final
class WakeAt(msgspec.Struct, frozen=True):
    """Apply again at this time, in seconds since the epoch."""

    at: float


@final
class TellParent(msgspec.Struct, frozen=True):
    """Send the parent the news of the end, durably; keep the record until the parent has released it."""

    parent: Parent
    message: Inbound


@final
class Finish(msgspec.Struct, frozen=True):
    """Release the children, archive the record and put the end marker in its place, once the outbox is in the log.

    `children` are pairs of type and id.
    """

    children: tuple[tuple[str, str], ...] = ()


Effect: TypeAlias = Call | SendCommand | MindSilence | Publish | WakeAt | TellParent | Finish


class Decide(msgspec.Struct, frozen=True):
    """Evaluate the `when=` of a step; answer with `Decided`."""

    step: str


class Prepare(msgspec.Struct, frozen=True):
    """Compute the value that a node starts with; answer with `Prepared`."""

    step: str


class MakeOutput(msgspec.Struct, frozen=True):
    """Compute the saga's output; answer with `OutputMade`."""


Question: TypeAlias = Decide | Prepare | MakeOutput

_KIND: dict[StepState, CallKind] = {"running": "do", "checking": "check", "undoing": "undo"}
_KIND_BACK: dict[StepState, CallKind] = {"checking": "check", "undoing": "undo"}
"""The calls of a saga that compensates: nothing goes forward any more (P2)."""


_KIND_OUT: dict[StepState, CallKind] = {"sent": "do", "check_sent": "check", "undo_sent": "undo"}


def effects(plan: Plan, record: Record) -> list[Effect]:
    """Return everything that a record asks of its owner once it is durable (P1). An effect may be performed twice.

    A call that an earlier record asked for and this one does not must not begin any more. If it has begun, its end is
    awaited all the same (P2).
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
        elif log.state in _KIND_OUT:
            command = _command(plan, record, step, log, _KIND_OUT[log.state])
            found.append(command)
            if log.alive and command.heartbeat is not None:
                found.append(MindSilence(step=step, key=command.key, attempt=log.calls, heartbeat=command.heartbeat))
    if record.wake_at is not None:
        found.append(WakeAt(record.wake_at))
    return found


def questions(plan: Plan, record: Record) -> list[Question]:
    """Return the questions to the definition that have to be answered before the record is written.

    The functions that are asked have no effects, so that they may be asked again after a crash.
    """
    if not (plan.asks or plan.has_output):
        return []
    if record.status != "running" or record.failure is not None:
        return []
    if plan.asks:
        waiting = ready(plan, record)
        # Conditions first, all of them: a node that is skipped is not prepared.
        asked: list[Question] = [Decide(node.name) for node in waiting if undecided(node, record)]
        asked = asked or [Prepare(node.name) for node in waiting if unprepared(node, record)]
        if asked:
            return asked
    return [MakeOutput()] if plan.has_output and all_passed(plan, record) else []


def goes_on(plan: Plan, record: Record, now: float, *, published: int, limits: Limits) -> bool:
    """Return True if a saga that was held back would go on now, with its events up to `published` in the log."""
    return (
        bool(questions(plan, record)) or apply(plan, record, [Published(published)], now, limits=limits) is not record
    )


def _end(plan: Plan, record: Record) -> Effect:
    if record.parent is None or record.released:
        # Every group of a child node, not only the last. An operator's retry starts another child under a new group;
        # the earlier one may have been started all the same, and waits for its release, too.
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


def _command(plan: Plan, record: Record, step: str, log: StepLog, kind: CallKind) -> SendCommand:
    node = plan.node(step)
    began = record.updated_at if log.began is None else log.began
    return SendCommand(
        step=step,
        endpoint=endpoint_of(node, log),
        kind=kind,
        key=key_of(record, step, kind, log),
        action_key=key_of(record, step, "do", log),
        key_since=began if log.since is None else log.since,
        attempt=log.calls,
        deadline=began + timeout_of(node, log),
        payload=log.given,
        result=log.result if kind == "undo" else NOTHING,
        heartbeat=node.heartbeat,
    )


def _call(plan: Plan, record: Record, step: str, log: StepLog, kind: CallKind) -> Call:
    node, action_key = plan.node(step), key_of(record, step, "do", log)
    if kind == "do":
        return Call(
            step=step,
            kind=kind,
            call=log.calls,
            key=action_key,
            action_key=action_key,
            attempt=log.attempt,
            timeout=node.timeout,
            heartbeat=node.heartbeat,
        )
    undoes = kind == "undo"
    return Call(
        step=step,
        kind=kind,
        call=log.calls,
        key=key_of(record, step, kind, log),
        action_key=action_key,
        attempt=log.undo_attempt if undoes else log.check_attempt,
        timeout=node.undo.timeout if undoes and node.undo is not None else node.timeout,
        waits=undoes and node.child_type != "",
    )
