"""Values that events carry: the input, results, the output. The record's outbox does not repeat what the record has.

`carries` of an event names a value by the field of `data` that it becomes, and by the step that it is of:

input     the saga's input                    given:label     the items of an each, when they begin
output    the saga's output                   result:charge   the result of a step
detail    the detail of the refusal           payload:packed  the payload of a signal
"""

from __future__ import annotations

from math import inf

import msgspec

from sagakit.engine.record import NOTHING, OutboxEvent, Record


def whole(record: Record, event: OutboxEvent, *, most: float = inf) -> OutboxEvent:
    """Return an event of the record's outbox as it is published. It has the same bytes each time (P9).

    A value is left out if it was cut out of a record which had become too large, or if the event would have more than
    `most` bytes: the server takes smaller messages than it did.
    """
    if not event.carries:
        return event
    field, _, step = event.carries.partition(":")
    value = _value(record, field, step)
    if value is NOTHING or len(memoryview(event.event)) + len(memoryview(value)) + len(field) + 4 > most:
        return event
    head = bytes(event.event)[:-2]  # without the end of `data`, and of the event
    comma = b"" if head.endswith(b"{") else b","
    return OutboxEvent(event.seq, event.suffix, msgspec.Raw(b'%b%b"%b":%b}}' % (head, comma, field.encode(), value)))


def _value(record: Record, field: str, step: str) -> msgspec.Raw:
    match field:
        case "input":
            return NOTHING if "input" in record.dropped else record.input
        case "output":
            return NOTHING if record.outcome is None else record.outcome.output
        case "detail":
            return NOTHING if record.failure is None else record.failure.detail
        case _:
            log = record.steps.get(step)
            if log is None:
                return NOTHING
            return log.given if field == "given" else log.result
