"""Values that events carry: the input, results, the output. The record's outbox does not repeat what the record has.

`carries` of an event names the field of `data` that a value becomes. The step is the one that the event is about; the
number after a slash is that of its item.

start     the input, and where the saga comes from: its attributes, its parent, the id of the message that started it
input     the input alone                     given     the items of an each, when they begin
output    the saga's output                   result    the result of a step; `result/7` is the one of item 7
detail    the detail of the refusal           payload   the payload of a signal
"""

from __future__ import annotations

from math import inf

import msgspec
from msgspec import structs

from sagakit.definition.plan import ITEM, item_name
from sagakit.engine.events import encode_event
from sagakit.engine.record import NOTHING, OutboxEvent, Parent, Record


class _Start(msgspec.Struct, omit_defaults=True):
    attributes: dict[str, str] = {}
    parent: Parent | None = None
    start_id: str = ""
    input: msgspec.Raw = NOTHING


_encoder = msgspec.json.Encoder()


def payload_of(record: Record, event: OutboxEvent, *, most: float = inf) -> bytes:
    """Return an event of the record's outbox as it is published: the same bytes each time (P9).

    A value is left out if it was cut out of a record which had become too large, or if the event would have more than
    `most` bytes: the server takes smaller messages than it did.
    """
    fields = carried(record, event)
    if fields:
        payload = encode_event(record, event, _joined(event.data, fields))
        if len(payload) <= most:
            return payload
    return encode_event(record, event, event.data)


def filled(record: Record, event: OutboxEvent) -> OutboxEvent:
    """Return an event that has the value itself which it carries, if the record has it."""
    fields = carried(record, event)
    return structs.replace(event, data=_joined(event.data, fields), carries="") if fields else event


def outbox_kept(before: Record, after: Record) -> list[OutboxEvent]:
    """Return the outbox of a record whose values were replaced, with the events that it has beyond those of `before`.

    An event that carries a value which is lost is given it, as `before` has it: its bytes stay (P9).
    """
    kept = [
        event if carried(after, event) == carried(before, event) else filled(before, event) for event in before.outbox
    ]
    return [*kept, *after.outbox[len(before.outbox) :]]


def _joined(data: msgspec.Raw, fields: bytes) -> msgspec.Raw:
    """Return the JSON object `data` with more fields at its end."""
    head = bytes(data)[:-1]
    return msgspec.Raw(b"%b%b%b}" % (head, b"" if head == b"{" else b",", fields))


def carried(record: Record, event: OutboxEvent) -> bytes:
    """Return the fields that an event of the outbox has in `data` once it is published, as JSON without braces.

    They are empty if it carries nothing, or if the record does not have the value any more.
    """
    carries = event.carries
    if not carries:
        return b""
    if carries == "result":  # most events of a saga: the step is the whole suffix but for its head, `step.`
        log = record.steps.get(event.suffix[5:])
        return b"" if log is None or log.result is NOTHING else b'"result":%b' % log.result
    if carries == "start":
        return _start(record)
    field, _, item = carries.partition(ITEM)
    value = _value(record, field, event.suffix, item)
    return b"" if value is NOTHING else b'"%b":%b' % (field.encode(), value)


def _start(record: Record) -> bytes:
    input = NOTHING if "input" in record.dropped else record.input
    return _encoder.encode(_Start(record.attributes, record.parent, record.start_id, input))[1:-1]


def _value(record: Record, field: str, suffix: str, item: str) -> msgspec.Raw:
    if field == "input":
        return NOTHING if "input" in record.dropped else record.input
    if field == "output":
        return NOTHING if record.outcome is None else record.outcome.output
    if field == "detail":
        return NOTHING if record.failure is None else record.failure.detail
    step = suffix.split(".")[1]
    log = record.steps.get(item_name(step, int(item)) if item else step)
    if log is None:
        return NOTHING
    return log.given if field == "given" else log.result
