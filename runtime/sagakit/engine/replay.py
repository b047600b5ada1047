"""Replay: the states of a saga, folded from its events alone. It needs no plan and no class.

Events tell the ends of attempts, not their beginnings: an attempt that is under way shows only once it has ended. A
condition that was false is not told either. `rebuilding` says what that means for a record that was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from sagakit.definition.plan import ITEM, item_name
from sagakit.engine.codec import digest
from sagakit.engine.events import CloudEvent
from sagakit.engine.item_ranges import ItemRanges, of_ranges
from sagakit.engine.record import (
    DELAYED_SCHEMA,
    END_OF_TIME,
    NOTHING,
    PLAIN_SCHEMA,
    Cause,
    Failure,
    Parent,
    PersistedSagaState,
    Record,
    SagaOutcome,
    StepLog,
    UndoRequest,
)
from sagakit.engine.table import SagaStatus, StepState
from sagakit.engine.verdicts import note_applied
from sagakit.errors import UNREADABLE

NOBODY = "nobody"
"""The owner of a record that was made from events: no worker has this id, so any worker may adopt the saga."""
_NULL = msgspec.Raw(b"null")


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event, as far as the states of a saga follow from it. See docs/wire.md."""

    version: int | None = None
    input: msgspec.Raw = NOTHING
    attributes: dict[str, str] = {}
    parent: Parent | None = None
    start_id: str = ""
    starts_at: float | None = None
    deadline_at: float | None = None
    output: msgspec.Raw = NOTHING
    step: str | None = None
    item: int | None = None
    items: int = 0
    given: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    payload: msgspec.Raw = NOTHING
    attempt: int | None = None
    group: int = 1
    unknown: bool = False
    error: str | None = None
    delay: float = 0.0
    cause: Cause | None = None
    code: str | None = None
    detail: msgspec.Raw = NOTHING
    reason: str | None = None
    halted: bool = False
    held: ItemRanges[StepState] = {}
    groups: ItemRanges[int] = {}
    undo_groups: ItemRanges[int] = {}
    message: str = ""
    undone: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    epoch: int = 1
    names: dict[str, str | None] = {}


class _EventEnvelope(msgspec.Struct, frozen=True):
    data: EventData


class Replayed(NamedTuple):
    """An event, and the saga after it, as far as events tell."""

    event: CloudEvent
    record: Record


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_EventEnvelope)


def data_of(payload: bytes) -> EventData | None:
    """Return the data of an event from its bytes; None if another program has put something else there."""
    try:
        return _decoder.decode(payload).data
    except UNREADABLE:
        return None


def replay(events: Iterable[CloudEvent]) -> Iterator[Replayed]:
    """Yield the states of one run, event by event. The events are in order, each once.

    Where the first events are gone, or older workers have written them, the states lack what these did not tell.
    """
    record: Record | None = None
    for event in events:
        record = folded(record, event, data_of(_encoder.encode(event)) or EventData())
        yield Replayed(event, record)


def folded(record: Record | None, event: CloudEvent, data: EventData) -> Record:
    """Return the record after one more event; None is before the first one. The given record stays as it is."""
    at = event.time.timestamp()
    record = _first(event, at) if record is None else msgspec.structs.replace(record, updated_at=at)
    record.steps = dict(record.steps)
    record.next_event = event.sequence + 1
    record.version += 1
    note_applied(record, data.message)
    suffix = event.type.split(".", 2)[-1]
    head, _, rest = suffix.partition(".")
    if head == "step":
        step, _, ending = rest.partition(".")
        fold_step = _STEP.get(ending)
        if fold_step is not None:
            name = step if data.item is None else item_name(step, data.item)
            fold_step(record, name, _edit(record, name), data, at)
    elif head == "operator":
        _operator(record, rest, data)
    elif head == "signalled":
        log = _edit(record, rest)
        log.arrived, log.result = True, data.payload if data.payload is not NOTHING else _NULL
    elif suffix in _SAGA:
        _SAGA[suffix](record, data, at)
    return record


def _first(event: CloudEvent, at: float) -> Record:
    return PersistedSagaState(
        schema=PLAIN_SCHEMA,
        saga_type=event.type.split(".")[1],
        saga_id=event.subject,
        run=event.run,
        definition_version=1,
        plan_digest="",
        status="running",
        input=_NULL,
        input_digest=digest(_NULL),
        created_at=at,
        updated_at=at,
        steps={},
        version=0,
        write="",
        owner=NOBODY,
        epoch=1,
        recoveries=0,
        next_event=1,
        correlation_id=event.correlationid,
        causation_id=event.causationid,
    )


def _edit(record: Record, step: str) -> StepLog:
    """Return the step's entry, for changing."""
    known = record.steps.get(step)
    log = msgspec.structs.replace(known) if known is not None else StepLog()
    record.steps[step] = log
    return log


# ------------------------------------------------------------------------- steps


def _done(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    _began(record, log)
    log.state, log.due, log.error, log.unsure = "done", None, None, False
    log.attempt = data.attempt if data.attempt is not None else log.attempt
    log.calls, log.group = max(log.calls, log.attempt), data.group
    if ITEM not in step and data.items:
        log.items = data.items
    elif data.result is not NOTHING:
        log.result = data.result
    elif not log.arrived:
        log.result = _NULL


def _retrying(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    _began(record, log)
    log.state, log.due, log.error, log.unsure = "waiting", at + data.delay, data.error, data.unknown
    log.attempt = data.attempt or log.attempt
    log.calls, log.group = log.calls + 1, data.group


def _checking(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    _began(record, log)
    log.state, log.due, log.error, log.unsure = "check_waiting", at + data.delay, data.error, True
    log.check_attempt, log.calls = data.attempt or log.check_attempt, log.calls + 1


def _undo_retrying(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    log.state, log.due, log.error, log.undo_unsure = "undo_waiting", at + data.delay, data.error, data.unknown
    log.undo_attempt, log.undo_group = data.attempt or log.undo_attempt, data.group
    log.calls += 1


def _undone(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    log.state, log.due, log.error, log.undo_group = "undone", None, None, data.group
    log.calls += 1


def _undo_failed(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    log.state, log.due, log.error, log.undo_group = "undo_failed", None, data.error, data.group
    log.calls += 1


def _late(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    log.late = True


def _spread(record: Record, step: str, log: StepLog, data: EventData, at: float) -> None:
    _began(record, log)
    log.state, log.items, log.given = "spread", data.items, data.given


_StepFold = Callable[[Record, str, StepLog, EventData, float], None]
_STEP: Mapping[str, _StepFold] = {
    "": _done,
    "retrying": _retrying,
    "check_retrying": _checking,
    "undo_retrying": _undo_retrying,
    "undone": _undone,
    "undo_failed": _undo_failed,
    "late": _late,
    "spread": _spread,
}
"""The fold of an event about a step, by the ending of its type."""


def _began(record: Record, log: StepLog) -> None:
    """Number the steps in the order in which events tell of them: undos of independent steps begin in reverse."""
    log.order = log.order or 1 + max([other.order for other in record.steps.values()], default=0)


# -------------------------------------------------------------------------- saga


def _started(record: Record, data: EventData, at: float) -> None:
    record.definition_version = data.version or record.definition_version
    record.status, record.schema, record.starts_at = "running", PLAIN_SCHEMA, None
    record.deadline_at = _time(data.deadline_at)
    _origin(record, data)


def _delayed(record: Record, data: EventData, at: float) -> None:
    record.definition_version = data.version or record.definition_version
    record.status, record.schema, record.starts_at = "delayed", DELAYED_SCHEMA, _time(data.starts_at)
    _origin(record, data)


def _origin(record: Record, data: EventData) -> None:
    if data.input is not NOTHING:
        record.input, record.input_digest = data.input, digest(data.input)
        record.attributes, record.parent, record.start_id = data.attributes, data.parent, data.start_id


def _compensating(record: Record, data: EventData, at: float) -> None:
    record.outcome = record.undo_request = None
    if data.halted:
        record.halted = True
    else:
        record.status, record.stuck = "compensating", None
    record.failure = Failure(
        data.cause or "cancelled", code=data.code, detail=data.detail, step=data.step, reason=data.reason
    )
    if data.step is not None:
        log = _edit(record, data.step)
        _began(record, log)
        log.state, log.due, log.unsure = "doubtful" if data.unknown else "not_done", None, data.unknown
        log.error, log.code = data.reason or (data.code and f"rejected: {data.code}"), data.code


def _completed(record: Record, data: EventData, at: float) -> None:
    record.status, record.stuck = "completed", None
    record.outcome = SagaOutcome("completed", at, output=data.output)


def _failed(record: Record, data: EventData, at: float) -> None:
    record.status, record.stuck, record.halted, record.undo_request = "failed", None, False, None
    if record.failure is None or data.cause == "terminated":
        reason = record.failure.reason if record.failure is not None else None
        record.failure = Failure(data.cause or "terminated", code=data.code, step=data.step, reason=reason)
    for step in data.undone:
        _edit(record, step).state = "undone"
    record.outcome = SagaOutcome(
        "failed", at, failure=record.failure, compensated=data.undone, late_successes=data.late
    )


def _stuck(record: Record, data: EventData, at: float) -> None:
    record.status, record.stuck = "stuck", data.reason or ""
    for step, state in of_ranges(data.held):
        log = _edit(record, step)
        log.state, log.due = state, None


def _recovered(record: Record, data: EventData, at: float) -> None:
    record.epoch = data.epoch


def _migrated(record: Record, data: EventData, at: float) -> None:
    record.definition_version = data.version or record.definition_version
    if data.input is not NOTHING:
        record.input = data.input
    moved: dict[str, StepLog] = {}
    for name, log in record.steps.items():
        old, mark, number = name.partition(ITEM)
        new = data.names.get(old, old)
        if new is not None:
            named = log.named or ("" if new == old else name)
            moved[f"{new}{mark}{number}"] = msgspec.structs.replace(log, named=named)
    record.steps = moved


_SAGA: Mapping[str, Callable[[Record, EventData, float], None]] = {
    "delayed": _delayed,
    "started": _started,
    "compensating": _compensating,
    "completed": _completed,
    "failed": _failed,
    "stuck": _stuck,
    "recovered": _recovered,
    "migrated": _migrated,
}
"""The fold of an event about the saga."""


def _operator(record: Record, verb: str, data: EventData) -> None:
    if verb == "terminate":
        record.failure = Failure("terminated", reason=data.reason)
    elif verb in ("cancel", "compensate"):  # if it is granted at once, the next event says so
        record.undo_request = UndoRequest("cancelled", data.reason)
    elif verb in ("retry", "mark-undone", "complete-step") and record.status == "stuck":
        record.status, record.stuck, record.halted = _onward(record), None, False
    for step, group in of_ranges(data.groups):
        log = _edit(record, step)
        # what keeps its group was never called, or is checked: it begins anew, as a signal does that did not come
        log.state = "waiting" if group > log.group else "pending"
        log.group, log.attempt = group, 0
    for step, group in of_ranges(data.undo_groups):
        log = _edit(record, step)
        log.undo_group, log.undo_attempt, log.state = group, 0, "undo_waiting"


def _onward(record: Record) -> SagaStatus:
    if record.failure is not None:
        return "compensating"
    return "running" if record.starts_at is None else "delayed"


def _time(seconds: float | None) -> float | None:
    return seconds if seconds is None or 0 <= seconds < END_OF_TIME else None
