"""Rows of an export as records and events again: copies of sagas that are stuck, so that nothing of them moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from sagakit.cli.exits import UsageError
from sagakit.cli.export_rows import NULL, EventRow, SagaRow, StepRow
from sagakit.engine import Failure, Record, digest
from sagakit.engine.events import CloudEvent, event_id, make_event
from sagakit.engine.record import DELAYED_SCHEMA, NOTHING, PLAIN_SCHEMA, Cause, PersistedSagaState, StepLog
from sagakit.engine.replay import NOBODY
from sagakit.engine.table import OPEN, StepState
from sagakit.errors import UNREADABLE


class SagaCopy(NamedTuple):
    """A saga to store, with its events as far as they were exported."""

    record: Record
    events: list[CloudEvent]


class _Head(msgspec.Struct, frozen=True):
    """The fields that tell the tables apart."""

    step: str | None = None
    sequence: int | None = None


class ExportedRows:
    """The rows of exported files. They may have the tables sagas, steps and events, in any order."""

    def __init__(self) -> None:
        self._sagas: dict[str, SagaRow] = {}
        self._steps: dict[str, list[StepRow]] = {}
        self._events: dict[str, list[EventRow]] = {}

    def read(self, name: str, lines: Iterable[bytes]) -> None:
        """Take the rows of a file. Raises UsageError, which names the line."""
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                self._take(line)
            except UNREADABLE as error:
                raise UsageError(
                    f"{name}, line {number}: not a row of `sagakit export --format jsonl`: {error}"
                ) from None

    def _take(self, line: bytes) -> None:
        head = msgspec.json.decode(line, type=_Head)
        if head.sequence is not None:
            event = msgspec.json.decode(line, type=EventRow)
            self._events.setdefault(event.key, []).append(event)
        elif head.step is not None:
            step = msgspec.json.decode(line, type=StepRow)
            self._steps.setdefault(step.key, []).append(step)
        else:
            saga = msgspec.json.decode(line, type=SagaRow)
            self._sagas[saga.key] = saga

    def copies(self, *, now: float, by: str) -> Iterator[SagaCopy]:
        """Yield the sagas. Raises UsageError for steps or events without their saga."""
        lost = sorted({*self._steps, *self._events} - {*self._sagas})
        if lost:
            raise UsageError(f"{lost[0]} has steps or events, and no row of the table sagas: add that file, too")
        for key, row in self._sagas.items():
            events = sorted(self._events.get(key, ()), key=lambda event: event.sequence)
            yield _copy(
                row, self._steps.get(key, ()), [_event(row, one) for one in events if one.run == row.run], now, by
            )


def _copy(row: SagaRow, steps: Iterable[StepRow], events: list[CloudEvent], now: float, by: str) -> SagaCopy:
    stuck = f"imported; it was {row.status}{f': {row.stuck}' if row.stuck else ''}"
    record: Record = PersistedSagaState(
        schema=PLAIN_SCHEMA if row.starts_at is None else DELAYED_SCHEMA,
        saga_type=row.type,
        saga_id=row.id,
        run=row.run,
        definition_version=row.version,
        plan_digest=row.plan_digest,
        status="stuck",
        stuck=stuck,
        halted=True,
        input=row.input,
        input_digest=digest(row.input),
        created_at=_seconds(row.created_at) or now,
        updated_at=now,
        deadline_at=_seconds(row.deadline_at),
        starts_at=_seconds(row.starts_at),
        steps={step.step: _log(step, order) for order, step in enumerate(steps, 1)},
        version=0,
        write="",
        owner=NOBODY,
        epoch=1,
        recoveries=0,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        attributes=msgspec.json.decode(row.attributes, type=dict[str, str]),
        failure=None if row.cause is None else _failure(row),
        next_event=events[-1].sequence + 1 if events else 1,
    )
    # the second one for listings, which find the stuck by their events
    for suffix, reason in (("operator.import", f"it was {row.status}"), ("stuck", stuck)):
        record.outbox = [*record.outbox, make_event(record, suffix, {"by": by, "reason": reason}, now=now)]
        record.next_event += 1
    return SagaCopy(record, events)


def _failure(row: SagaRow) -> Failure:
    try:
        cause: Cause = msgspec.convert(row.cause, Cause)
    except msgspec.ValidationError:
        raise UsageError(f"{row.key}: {row.cause!r} is not a cause of a failure") from None
    return Failure(cause, code=row.code, step=row.failed_step, reason=row.reason)


def _log(row: StepRow, order: int) -> StepLog:
    try:
        state: StepState = msgspec.convert(row.state, StepState)
    except msgspec.ValidationError:
        raise UsageError(f"{row.key}: {row.state!r} is not a state of a step") from None
    return StepLog(
        state=state,
        order=order,
        calls=row.calls,
        unsure=state in OPEN,
        began=_seconds(row.began_at),
        due=_seconds(row.due_at),
        code=row.code,
        error=row.error,
        result=NOTHING if row.result == NULL else row.result,
    )


def _event(saga: SagaRow, row: EventRow) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=event_id(row.run, row.sequence),
        source=f"sagakit/{row.type}",
        type=f"saga.{row.type}.{row.event}",
        subject=row.id,
        time=row.time,
        datacontenttype="application/json",
        run=row.run,
        sequence=row.sequence,
        correlationid=saga.correlation_id,
        causationid=saga.causation_id,
        data=msgspec.json.decode(row.data),
    )


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
