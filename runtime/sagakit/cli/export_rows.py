"""The rows of an export: sagas, steps and events, each with the key of its saga. Times are in UTC, values are JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec

from sagakit.cli.choosing import key_of_record
from sagakit.definition.payloads import MARK
from sagakit.engine import Record
from sagakit.engine.events import CloudEvent
from sagakit.times import moment_of

NULL = msgspec.Raw(b"null")
_SEALED = f'"{MARK}":'.encode()


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    type: str
    id: str
    run: str


class SagaRow(_Row, frozen=True, kw_only=True):
    """A saga."""

    status: str
    version: int
    owner: str
    created_at: datetime | None
    updated_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime | None
    starts_at: datetime | None
    correlation_id: str | None
    causation_id: str | None
    stuck: str | None
    cause: str | None
    code: str | None
    failed_step: str | None
    reason: str | None
    attributes: msgspec.Raw
    input: msgspec.Raw
    output: msgspec.Raw
    plan_digest: str = ""


class StepRow(_Row, frozen=True, kw_only=True):
    """A node in the step log of a saga."""

    step: str
    state: str
    calls: int
    began_at: datetime | None
    due_at: datetime | None
    code: str | None
    error: str | None
    result: msgspec.Raw


class EventRow(_Row, frozen=True, kw_only=True):
    """An event of a saga."""

    sequence: int
    time: datetime
    event: str
    data: msgspec.Raw


TableRow: TypeAlias = SagaRow | StepRow | EventRow
TABLES: Mapping[str, type[TableRow]] = {"sagas": SagaRow, "steps": StepRow, "events": EventRow}
"""The tables by name."""


def saga_row(record: Record) -> SagaRow:
    """Return the row of a saga."""
    failure, outcome = record.failure, record.outcome
    return SagaRow(
        **_head(record),
        status=record.status,
        version=record.definition_version,
        owner=record.owner,
        created_at=moment_of(record.created_at),
        updated_at=moment_of(record.updated_at),
        ended_at=None if outcome is None else moment_of(outcome.at),
        deadline_at=moment_of(record.deadline_at),
        starts_at=moment_of(record.starts_at),
        correlation_id=record.correlation_id,
        causation_id=record.causation_id,
        stuck=record.stuck,
        cause=None if failure is None else failure.cause,
        code=None if failure is None else failure.code,
        failed_step=None if failure is None else failure.step,
        reason=None if failure is None else failure.reason,
        attributes=msgspec.Raw(msgspec.json.encode(record.attributes)),
        input=_value(record.input),
        output=NULL if outcome is None else _value(outcome.output),
        plan_digest=record.plan_digest,
    )


def step_rows(record: Record) -> Iterator[StepRow]:
    """Yield the rows of a saga's steps."""
    for name, log in record.steps.items():
        yield StepRow(
            **_head(record),
            step=name,
            state=log.state,
            calls=log.calls,
            began_at=moment_of(log.began),
            due_at=moment_of(log.due),
            code=log.code,
            error=log.error,
            result=_value(log.result),
        )


def event_row(record: Record, event: CloudEvent) -> EventRow:
    """Return the row of an event."""
    return EventRow(
        **_head(record),
        sequence=event.sequence,
        time=event.time,
        event=event.type.split(".", 2)[-1],
        data=msgspec.Raw(msgspec.json.encode(event.data)),
    )


def holds_sealed(row: TableRow) -> bool:
    """Return True if a row has a value that a payload codec has sealed."""
    values = (getattr(row, name) for name in row.__struct_fields__)
    return any(isinstance(value, msgspec.Raw) and _SEALED in bytes(value) for value in values)


def _head(record: Record) -> dict[str, str]:
    return {"key": key_of_record(record), "type": record.saga_type, "id": record.saga_id, "run": record.run}


def _value(value: msgspec.Raw) -> msgspec.Raw:
    return value if bytes(value) else NULL
