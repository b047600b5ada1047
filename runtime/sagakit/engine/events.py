"""The events that a saga publishes: CloudEvents 1.0 in JSON structured mode, the same bytes each time (P9)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from sagakit.engine.inputs import Published
from sagakit.engine.record import OutboxEvent, Record
from sagakit.errors import UNREADABLE

LOGGED = 100
"""Stream sequences that a record keeps: about 9 bytes each."""


class Attributes(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The attributes of an event. `run`, `sequence`, `correlationid` and `causationid` are extension attributes."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    run: str
    sequence: int
    correlationid: str | None = None
    causationid: str | None = None


class CloudEvent(Attributes, omit_defaults=True, kw_only=True):
    """An event as it is published."""

    data: dict[str, object]


class _Encoded(Attributes, omit_defaults=True, kw_only=True):
    """An event whose data is JSON already."""

    data: msgspec.Raw


_number = attrgetter("seq")
_decoder = msgspec.json.Decoder(CloudEvent)


def decode_event(payload: bytes) -> CloudEvent | None:
    """Return an event of the log; None for bytes that are not an event, which another program may have put there."""
    try:
        return _decoder.decode(payload)
    except UNREADABLE:
        return None


def event_id(run: str, seq: int) -> str:
    """Return the id of event number `seq` of a run: the same at each publication, and also its `Nats-Msg-Id`."""
    return f"{run}.{seq}"


def count_up_to(events: Sequence[OutboxEvent], seq: int) -> int:
    """Return how many of a record's events, which are in order, have a number up to `seq`."""
    return bisect_right(events, seq, key=_number)


def with_logged(logged: list[int], events: Sequence[OutboxEvent], published: Published) -> list[int]:
    """Return the sequences that a record keeps once these events have left its outbox, so that a history finds them."""
    if not events:
        return logged
    kept = [*logged, *published.sequences(events[0].seq, events[-1].seq)]
    return kept if len(kept) <= LOGGED else [kept[0], *kept[1 - LOGGED :]]


_encoder = msgspec.json.Encoder()


def make_event(record: Record, suffix: str, data: dict[str, object], *, now: float, carries: str = "") -> OutboxEvent:
    """Return the next event of a record. The caller appends it to the outbox and advances `next_event`.

    `carries` names a value of the record that the event has once it is published: see `engine.carried`.
    """
    return OutboxEvent(record.next_event, suffix, now, msgspec.Raw(_encoder.encode(data)), carries)


def encode_event(record: Record, event: OutboxEvent, data: msgspec.Raw) -> bytes:
    """Return an event of a record as a CloudEvent with this data. The record's part of it never changes (P9)."""
    saga_type, run, seq = record.saga_type, record.run, event.seq
    return _encoder.encode(
        _Encoded(
            specversion="1.0",
            id=event_id(run, seq),
            source=f"sagakit/{saga_type}",
            type=f"saga.{saga_type}.{event.suffix}",
            subject=record.saga_id,
            time=datetime.fromtimestamp(event.at, UTC),
            datacontenttype="application/json",
            run=run,
            sequence=seq,
            correlationid=record.correlation_id,
            causationid=record.causation_id,
            data=data,
        )
    )
