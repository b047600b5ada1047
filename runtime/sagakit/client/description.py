"""Descriptions: one saga for people to read, with decoded values, and attempts with times and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from sagakit.client.attempts import Attempt, attempts_of
from sagakit.client.shown_values import ShownValues
from sagakit.definition import Codec, Definition
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import Record, SagaStatus, StepLog
from sagakit.engine.events import CloudEvent
from sagakit.engine.record import Verdict
from sagakit.engine.table import OPEN, OUT
from sagakit.errors import UNREADABLE, UnreadableValue
from sagakit.times import moment_of


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """The view of one node: a step, signal, timer, child, each, or an item of an each. Times are in UTC."""

    name: str
    """Name of the node; `label/2` for an item of an each."""
    kind: str
    """Kind of the node, such as `step`; empty if the class here has no such node."""
    state: str
    """State of the node, as in docs/states.md."""
    calls: int
    """Number of attempts so far."""
    result: Any = None
    """Result of the node, decoded; None if it has none."""
    error: str | None = None
    """Last error of the node."""
    due: datetime | None = None
    """Time at which the next attempt begins, or the wait is over."""
    until: datetime | None = None
    """Time by which the running attempt has to end."""
    progress: Any = None
    """The participant's last word on how far the attempt that is out has come, as a plain JSON value."""
    progress_at: datetime | None = None
    """Time of that word."""
    attempts: tuple[Attempt, ...] = ()
    """The attempts that an event or the record tells of, in the order of their ends."""
    note: str = ""
    """Remark for operators, such as the reason why a child does not go on."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The view of one saga at one moment. `print` shows it as text:

        print(await runtime.describe(PlaceOrder, "order-7"))

    Input, output and results have the types of the saga's class, or are plain JSON values if the class cannot read
    them. Times are in UTC.
    """

    type: str
    id: str
    version: int
    run: str
    status: SagaStatus
    owner: str
    """Worker id of the owner."""
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime | None = None
    starts_at: datetime | None = None
    """Time of the start that the saga waits for; None once it has begun."""
    input: Any = None
    output: Any = None
    cause: str | None = None
    """Cause of the saga's turning back, such as `rejected` or `deadline`; None if it has not turned back."""
    code: str | None = None
    """Code of the refusal that turned it back."""
    reason: str | None = None
    """Reason that was given for turning it back."""
    stuck: str | None = None
    """Reason why the saga is stuck; None if it is not."""
    attributes: Mapping[str, str] = {}
    steps: Sequence[StepView] = ()
    messages: Sequence[Verdict] = ()
    """The messages that the saga has had, with their verdicts."""
    note: str = ""
    """Reason why no worker can run the saga; empty if one can."""

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def described(
    record: Record,
    events: Sequence[CloudEvent],
    definition: Definition | None,
    note: str,
    notes: Mapping[str, str],
    *,
    plan: Plan | None = None,
    payloads: Payloads = PLAIN_PAYLOADS,
) -> Description:
    """Return the description of a record and its events. `note` is of the saga, `notes` are of steps by name.

    Without a definition of the saga's plan, values are plain JSON, and the kinds of nodes are those of `plan`.
    """
    record = ShownValues(payloads).record(record)
    mine = definition if definition is not None and record.plan_digest == definition.plan.digest else None
    plan = plan if mine is None else mine.plan
    attempts = attempts_of(events, record)
    outcome, failure = record.outcome, record.failure
    return Description(
        type=record.saga_type,
        id=record.saga_id,
        version=record.definition_version,
        run=record.run,
        status=record.status,
        owner=record.owner,
        created_at=_time(record.created_at),
        updated_at=_time(record.updated_at),
        deadline_at=moment_of(record.deadline_at),
        starts_at=moment_of(record.starts_at),
        input=_value(record.input, None if mine is None else mine.input),
        output=None if outcome is None else _value(outcome.output, None if mine is None else mine.output),
        cause=None if failure is None else failure.cause,
        code=None if failure is None else failure.code,
        reason=None if failure is None else failure.reason,
        stuck=record.stuck,
        attributes=record.attributes,
        steps=tuple(
            _step(name, log, mine, plan, tuple(attempts.get(name, ())), notes.get(name, ""))
            for name, log in record.steps.items()
        ),
        messages=tuple(record.inbound),
        note=note,
    )


def _step(
    name: str,
    log: StepLog,
    definition: Definition | None,
    plan: Plan | None,
    attempts: tuple[Attempt, ...],
    note: str,
) -> StepView:
    node = None if definition is None else definition.nodes.get(definition.plan.step_of(name))
    planned = None if plan is None or plan.step_of(name) not in plan.by_name else plan.node(name)
    kind = "" if planned is None else planned.kind
    return StepView(
        name=name,
        kind=kind,
        state=log.state,
        calls=log.calls,
        result=_value(log.result, None if node is None or kind == "each" else node.result),
        error=log.error,
        due=moment_of(log.due),
        until=None if planned is None else _until(planned, log),
        progress=_value(log.progress, None),
        progress_at=moment_of(log.progress_at),
        attempts=attempts,
        note=note,
    )


def _until(node: NodePlan, log: StepLog) -> datetime | None:
    if log.state in OUT:
        return None if log.due is None else moment_of(log.due)
    if log.began is None or log.state not in OPEN:
        return None
    timeout = node.undo.timeout if log.state == "undoing" and node.undo is not None else node.timeout
    return moment_of(log.began + timeout)


def _value(data: msgspec.Raw, codec: Codec | None) -> Any:
    if not len(memoryview(data)):
        return None
    try:
        if codec is not None:
            return codec.decode(data)
    except UnreadableValue:
        pass
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return bytes(data).decode(errors="replace")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# ------------------------------------------------------------------------ text


def _lines(saga: Description) -> list[str]:
    lines = [f"{saga.type} {saga.id}: {saga.status}", f"  version {saga.version}, run {saga.run}, owner {saga.owner}"]
    lines.append(f"  started {_shown(saga.created_at)}, last change {_shown(saga.updated_at)}")
    if saga.starts_at is not None and saga.status in ("delayed", "stuck"):
        lines.append(f"  starts at {_shown(saga.starts_at)}")
    if saga.deadline_at is not None:
        lines.append(f"  deadline {_shown(saga.deadline_at)}")
    lines.append(f"  input {saga.input!r}")
    if saga.status == "completed":
        lines.append(f"  output {saga.output!r}")
    for what, value in (
        ("stuck", saga.stuck),
        ("note", saga.note),
        ("turned back", _why(saga)),
        ("attributes", saga.attributes or None),
    ):
        if value:
            lines.append(f"  {what}: {value}")
    for step in saga.steps:
        lines += _step_lines(step)
    lines += [f"  message {one.kind} {one.id}: {one.verdict}" for one in saga.messages]
    return lines


def _why(saga: Description) -> str:
    return ", ".join(part for part in (saga.cause, saga.code, saga.reason) if part)


def _step_lines(step: StepView) -> list[str]:
    told = [step.state, f"{step.calls} attempt{'s' if step.calls != 1 else ''}" if step.calls else ""]
    if step.result is not None:
        told.append(f"result {step.result!r}")
    if step.progress_at is not None:
        told.append(f"progress {step.progress!r} at {_shown(step.progress_at)}")
    if step.until is not None:
        told.append(f"has to end by {_shown(step.until)}")
    if step.due is not None:
        told.append(f"goes on at {_shown(step.due)}")
    lines = [f"  {step.name}: {', '.join(part for part in told if part)}"]
    for one in step.attempts:
        number = "" if one.number is None else f" {one.number}"
        times = " to ".join(_shown(time) for time in (one.began, one.at) if time is not None)
        lines.append(f"    {times} {one.kind}{number}: {one.error or ('under way' if one.at is None else 'done')}")
    if step.error and step.error not in [one.error for one in step.attempts[-1:]]:
        lines.append(f"    last error: {step.error}")
    if step.note:
        lines.append(f"    {step.note}")
    return lines


def _shown(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + "Z"
