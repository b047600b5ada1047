"""Sagas, events, groups and descriptions as the JSON of `json_shapes`, for the commands and the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagakit.client.json_shapes import (
    AuditLine,
    EventLine,
    GroupLine,
    LetterChangeLine,
    LetterDetail,
    LetterLine,
    SagaDetail,
    SagaLine,
    WatchLine,
)
from sagakit.engine import Record
from sagakit.engine.events import CloudEvent
from sagakit.naming import SagaKey
from sagakit.repository.filters import errors_of, steps_of
from sagakit.repository.groups import StuckGroup
from sagakit.times import moment_of

if TYPE_CHECKING:  # a command that lists sagas does not need it
    from sagakit.client.description import Description
    from sagakit.client.letters import Letter, LetterChange


def saga_line(record: Record) -> SagaLine:
    """Return the line of a saga in a list."""
    return SagaLine(
        key=str(SagaKey(record.saga_type, record.saga_id)),
        type=record.saga_type,
        id=record.saga_id,
        status=record.status,
        at=list(dict.fromkeys(steps_of(record))),
        error=next(iter(errors_of(record)), None),
        version=record.definition_version,
        owner=record.owner,
        created_at=moment_of(record.created_at),
        updated_at=moment_of(record.updated_at),
        deadline_at=moment_of(record.deadline_at),
        starts_at=moment_of(record.starts_at),
        attributes=record.attributes,
    )


def event_line(event: CloudEvent) -> EventLine:
    """Return the line of an event. Subjects of events have no dots in the type of the saga."""
    return EventLine(
        sequence=event.sequence,
        time=event.time,
        event=event.type.split(".", 2)[-1],
        id=event.id,
        run=event.run,
        data=event.data,
    )


def watch_line(position: str, event: CloudEvent) -> WatchLine:
    """Return the line of an event as it comes, and of the position after it."""
    line, saga_type = event_line(event), event.type.split(".", 2)[1]
    return WatchLine(
        position=position,
        key=str(SagaKey(saga_type, event.subject)),
        sequence=line.sequence,
        time=line.time,
        event=line.event,
        id=line.id,
        run=line.run,
        data=line.data,
    )


def audit_line(event: CloudEvent) -> AuditLine:
    """Return the line of an event that tells of an operator's verb."""
    _, saga_type, kind = event.type.split(".", 2)
    data = event.data
    return AuditLine(
        at=event.time,
        by=str(data.get("by") or ""),
        verb=kind.removeprefix("operator."),
        step=str(data.get("step") or ""),
        key=str(SagaKey(saga_type, event.subject)),
        type=saga_type,
        id=event.subject,
        sequence=event.sequence,
        reason=str(data.get("reason") or ""),
    )


def group_line(group: StuckGroup) -> GroupLine:
    """Return the line of a group."""
    return GroupLine(
        type=group.type,
        step=group.step,
        error=group.error,
        count=group.count,
        oldest=group.oldest,
        oldest_at=moment_of(group.oldest_at),
    )


def detail_of(key: str, found: Description) -> SagaDetail:
    """Return a description in the form that is printed as JSON."""
    return msgspec.convert(msgspec.to_builtins(found) | {"key": key}, SagaDetail)


def letter_line(letter: Letter) -> LetterLine:
    """Return the line of a dead letter in a list."""
    return LetterLine(
        letter=letter.sequence,
        source=letter.source,
        type=letter.saga_type,
        subject=letter.subject,
        message_id=letter.message_id,
        code=letter.code,
        reason=letter.reason,
        worker=letter.worker,
        kept_at=moment_of(letter.kept_at),
        size=len(letter.payload),
        cut=letter.cut or None,
        edited_by=letter.edited_by or None,
    )


def letter_detail(letter: Letter) -> LetterDetail:
    """Return a dead letter with headers and payload."""
    try:
        payload = msgspec.json.decode(letter.payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        payload = letter.payload.decode(errors="replace")
    line = msgspec.structs.asdict(letter_line(letter))
    return LetterDetail(**line, headers=letter.headers, payload=payload)


def letter_change_line(change: LetterChange) -> LetterChangeLine:
    """Return the line of a change of a dead letter."""
    return LetterChangeLine(**{**msgspec.structs.asdict(change), "at": moment_of(change.at)})
