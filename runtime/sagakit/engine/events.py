"""The events that a saga publishes: CloudEvents 1.0 in JSON structured mode, built once and kept byte for byte (P9)."""

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


class CloudEvent(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An event as it is published. `run`, `sequence`, `correlationid` and `causationid` are extension attributes."""

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
    data: dict[str, object]  # the last field: `engine.carried` adds to the end of it


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
    seq = record.next_event
    event = CloudEvent(
        specversion="1.0",
        id=event_id(record.run, seq),
        source=f"sagakit/{record.saga_type}",
        type=f"saga.{record.saga_type}.{suffix}",
        subject=record.saga_id,
        time=datetime.fromtimestamp(now, UTC),
        datacontenttype="application/json",
        run=record.run,
        sequence=seq,
        correlationid=record.correlation_id,
        causationid=record.causation_id,
        data=data,
    )
    return OutboxEvent(seq, suffix, msgspec.Raw(_encoder.encode(event)), carries)
