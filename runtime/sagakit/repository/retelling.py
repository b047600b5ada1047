"""The sagas as the event log tells them: one pass over all events, which folds each run into a record."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from math import inf
from zlib import crc32

import msgspec

from sagakit.engine import Record
from sagakit.engine.events import decode_event
from sagakit.engine.record import NOTHING
from sagakit.engine.replay import EventData, data_of, folded
from sagakit.naming import SagaKey
from sagakit.store.ports import StoreReading

INPUT = "input"


class ToldSaga(msgspec.Struct, kw_only=True):
    """A run, as its events tell it. Memory holds one for each run in the log."""

    key: str
    run: str
    record: Record
    last: int = 0
    """The highest number of an event."""
    numbers: dict[int, int] = {}
    """A checksum of each event, by its number."""
    twins: set[int] = set()
    """Numbers of which the log has two different events."""
    has_input: bool = False
    """True if the first event is there, and carries the input."""
    is_later: bool = False
    """True if the run began after the time until which the events tell."""
    told_at: dict[str, int] = {}
    """The number of the last event about each step."""

    @property
    def gap(self) -> int | None:
        """The first number up to the last one of which the log has no event."""
        return next((number for number in range(1, self.last) if number not in self.numbers), None)


class Retelling:
    """The runs that events tell of. Events with a time after `until` are counted, and tell nothing."""

    def __init__(self, *, until: float = inf) -> None:
        self._until = until
        self.by_run: dict[str, ToldSaga] = {}

    def add(self, payload: bytes) -> None:
        """Take the next event of the log. Other values in it are left out."""
        event = decode_event(payload)
        if event is None or event.type.count(".") < 2:
            return
        known = self.by_run.get(event.run)
        if known is not None and event.sequence in known.numbers:
            if known.numbers[event.sequence] != crc32(payload):
                known.twins.add(event.sequence)
            return
        data = data_of(payload) or EventData()
        if event.time.timestamp() <= self._until or known is None:
            record = folded(None if known is None else known.record, event, data)
            if known is None:
                key = str(SagaKey(record.saga_type, record.saga_id))
                later = event.time.timestamp() > self._until
                known = self.by_run[event.run] = ToldSaga(key=key, run=event.run, record=record, is_later=later)
            known.record = record
            known.has_input = known.has_input or (event.sequence == 1 and data.input is not NOTHING)
            known.told_at.update(dict.fromkeys(_steps(event.type, data), event.sequence))
        known.numbers[event.sequence] = crc32(payload)
        known.last = max(known.last, event.sequence)

    @property
    def by_key(self) -> dict[str, ToldSaga]:
        """The last life of each id, of those that had begun if there are any."""
        ordered = sorted(self.by_run.values(), key=lambda told: not told.is_later)
        return {told.key: told for told in ordered}


def _steps(type: str, data: EventData) -> Iterable[str]:
    """Return the steps that an event tells of."""
    if ".step." in type and data.step is not None:
        yield data.step if data.item is None else f"{data.step}/{data.item}"
    yield from data.undone


async def retold(reading: StoreReading, *, until: float = inf) -> Retelling:
    """Return the sagas that the events of all streams tell of. Raises StoreError."""
    found = Retelling(until=until)
    for stream in reading.events:
        async with aclosing(stream.values(())) as pages:
            async for page in pages:
                for one in page:
                    found.add(one.value)
    return found
