"""Verification: do records, archive and events tell the same? Nothing is changed.

A saga that goes on while it is looked at may seem to differ. So what differs is looked at again, and only what differs
in the same way both times is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import NamedTuple
from zlib import crc32

import msgspec

from sagakit.engine import ENDS, EndMarker, Loaded, Record, decode
from sagakit.engine.carried import payload_of
from sagakit.engine.record import NOTHING, StepLog
from sagakit.engine.table import StepState
from sagakit.errors import Undecodable
from sagakit.repository.retelling import ToldSaga, retold
from sagakit.store.ports import StoreReading, StreamReading

ALWAYS_TOLD: frozenset[StepState] = frozenset({"done", "undo_failed"})
"""States of a step that an event tells of."""
SLACK = 60.0
"""Seconds by which an archived saga may be gone earlier than its time to live says."""


class Difference(msgspec.Struct, frozen=True, order=True):
    """The first event of a saga from which on events and records differ, and how."""

    key: str
    sequence: int
    what: str


class StoredSaga(msgspec.Struct):
    """The values under the key of a saga: in the bucket of live sagas, and in the archive."""

    live: Record | EndMarker | None = None
    archived: Record | None = None
    unreadable: str = ""

    @property
    def record(self) -> Record | None:
        """The record: the live one, or else the one in the archive."""
        return self.archived if self.live is None or isinstance(self.live, EndMarker) else self.live


class Verification(NamedTuple):
    """The result: the number of sagas that were compared, and the differences, by key."""

    sagas: int
    differences: list[Difference]


def difference(
    key: str, stored: StoredSaga, told: ToldSaga | None, *, log_is_whole: bool, kept_since: float, deep: bool
) -> Difference | None:
    """Return the first difference between what is stored and what is told of a saga; None if there is none.

    A log that is not whole may lack the first events of a saga, or all of them. `kept_since` is the time since which
    the archive keeps what has ended, in seconds since the epoch. With `deep`, values are compared, too.
    """
    found = _differences(stored, told, log_is_whole=log_is_whole, kept_since=kept_since, deep=deep)
    first = min(found, default=None)
    return None if first is None else Difference(key, *first)


def _differences(
    stored: StoredSaga, told: ToldSaga | None, *, log_is_whole: bool, kept_since: float, deep: bool
) -> Iterator[tuple[int, str]]:
    if stored.unreadable:
        yield 0, f"its record cannot be read: {stored.unreadable}"
        return
    record = stored.record
    if told is None:
        if record is not None and log_is_whole and _published(record):
            yield 1, "the log has no event of it"
        return
    yield from _in_the_log(told, log_is_whole=log_is_whole)
    if record is None:
        yield from _missing(stored, told, kept_since)
        return
    if record.run != told.run:
        yield 1, f"the record is of run {record.run}, and the last events are of run {told.run}"
        return
    yield from _in_numbers(record, told)
    yield from _in_the_end(stored, record, told)
    if deep and log_is_whole and told.gap is None and told.last == record.next_event - 1:
        yield from _in_values(record, told)


def _published(record: Record) -> int:
    """Return the number of the last event that the record knows to be in the log."""
    return record.next_event - 1 - len(record.outbox)


def _in_the_log(told: ToldSaga, *, log_is_whole: bool) -> Iterator[tuple[int, str]]:
    gap = told.gap
    if gap is not None and (log_is_whole or min(told.numbers) < gap):
        yield gap, "the log lacks this event, and has later ones"
    for number in told.twins:
        yield number, "the log has two different events of this number"


def _missing(stored: StoredSaga, told: ToldSaga, kept_since: float) -> Iterator[tuple[int, str]]:
    ended = told.record.status in ENDS
    if ended and told.record.updated_at <= kept_since:
        return
    if isinstance(stored.live, EndMarker):
        yield told.last, "an end marker is stored, and the archive lacks the saga"
    elif ended:
        yield told.last, "it has ended, and the archive lacks it"
    else:
        yield told.last, f"it is {told.record.status} by its events, and no record is stored"


def _in_numbers(record: Record, told: ToldSaga) -> Iterator[tuple[int, str]]:
    published = _published(record)
    if told.last < published:
        yield told.last + 1, f"the record knows that event {published} was published, and the log ends before it"
    if told.last >= record.next_event:
        yield record.next_event, f"the log has events up to {told.last}, and the record does not know them"
    for event in record.outbox:
        sum = told.numbers.get(event.seq)
        if sum is not None and sum != crc32(payload_of(record, event)):
            yield event.seq, "the log has another event than the record"


def _in_the_end(stored: StoredSaga, record: Record, told: ToldSaga) -> Iterator[tuple[int, str]]:
    archived = stored.archived
    if archived is not None and archived.run == record.run:
        if archived.status not in ENDS:
            yield told.last, f"the archive has it as {archived.status}"
        elif archived.version > record.version:
            yield told.last, "the archive has a later version of it than the live record"
    ended, told_ended = record.status in ENDS, told.record.status in ENDS
    if told.last == record.next_event - 1 and (ended or told_ended) and record.status != told.record.status:
        yield told.last, f"it is {record.status} by its record, and {told.record.status} by its events"


def _in_values(record: Record, told: ToldSaga) -> Iterator[tuple[int, str]]:
    """Compare the values. Older workers have published events without them: then there is nothing to compare."""
    if not told.has_input or record.dropped:
        return
    other = told.record
    if record.input != other.input:
        yield 1, "the record has another input"
    for name in {*record.steps, *other.steps}:
        if what := _in_step(name, record.steps.get(name), other.steps.get(name)):
            yield told.told_at.get(name, told.last), what
    if record.outcome is not None and other.outcome is not None and record.outcome.output != other.outcome.output:
        yield told.last, "the record has another output"


def _in_step(name: str, log: StepLog | None, tale: StepLog | None) -> str:
    """Return how a step of the record differs from what events tell of it; empty if it does not."""
    if log is None:
        return f"{name}: the record does not tell of it" if tale is not None and tale.state in ALWAYS_TOLD else ""
    if tale is None:
        return f"{name}: the log does not tell of it" if log.state in ALWAYS_TOLD else ""
    if log.state != tale.state and not {log.state, tale.state}.isdisjoint(ALWAYS_TOLD):
        agrees = _goes_on(log.state, tale.state)
        return "" if agrees else f"{name} is {log.state} by its record, and {tale.state} by its events"
    if log.state == "done" and not log.items and log.result is not NOTHING and log.result != tale.result:
        return f"{name}: the record has another result"
    return ""


def _goes_on(state: StepState, told: StepState) -> bool:
    """Return True if a step can have moved on from what events tell to this state without an event."""
    return (told, state) in {
        ("done", "undoing"), ("done", "undo_waiting"), ("done", "undone"), ("undo_failed", "undo_waiting"),
        ("undo_failed", "undoing"), ("done", "undo_sent"), ("undo_failed", "undo_sent"),
    }  # fmt: skip


# ----------------------------------------------------------------------------- reading


async def verify(reading: StoreReading, *, archive_ttl: float | None, deep: bool = False) -> Verification:
    """Compare all sagas. `archive_ttl` is how long the archive keeps what has ended, in seconds. Raises StoreError.

    Memory holds what is told of each saga in the log.
    """
    first = await _look(reading, archive_ttl, deep=deep)
    if not first.differences:
        return first
    second = await _look(reading, archive_ttl, deep=deep)
    both = sorted(set(first.differences) & set(second.differences))
    return Verification(second.sagas, both)


async def _look(reading: StoreReading, archive_ttl: float | None, *, deep: bool) -> Verification:
    kept_since = 0.0 if archive_ttl is None else await reading.now() - archive_ttl + SLACK
    log_is_whole = all([(await stream.extent()).is_whole for stream in reading.events])
    stored = await _stored(reading)
    told = (await retold(reading)).by_key
    keys = sorted({*stored, *told})
    found = (
        difference(
            key,
            stored.get(key, StoredSaga()),
            told.get(key),
            log_is_whole=log_is_whole,
            kept_since=kept_since,
            deep=deep,
        )
        for key in keys
    )
    return Verification(len(keys), [one for one in found if one is not None])


async def _stored(reading: StoreReading) -> dict[str, StoredSaga]:
    found: dict[str, StoredSaga] = {}
    for bucket, streams in (("live", reading.state), ("archived", reading.archive)):
        for stream in streams:
            await _take(found, bucket, stream)
    return found


async def _take(found: dict[str, StoredSaga], bucket: str, stream: StreamReading) -> None:
    async with aclosing(stream.values(())) as pages:
        async for page in pages:
            for value in page:
                saga = found.setdefault(value.key, StoredSaga())
                try:
                    loaded = decode(value.key, value.value)
                except Undecodable as error:
                    saga.unreadable = str(error)
                    continue
                one = loaded.record if isinstance(loaded, Loaded) else loaded
                setattr(saga, bucket, one)
