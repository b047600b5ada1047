"""The claims of a worker's sagas: large values go into their own bucket, and references to them into the records.

A value is stored before the record that names it, by the write of that record (`Put.values`). A record that names a
value which is missing or damaged is like one that cannot be read: it is reported and left alone (P11).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import NamedTuple

import msgspec
import trio
from msgspec import structs

from sagakit.engine import Record
from sagakit.engine.carried import outbox_kept
from sagakit.engine.events import CloudEvent
from sagakit.engine.value_claims import (
    LARGEST,
    ValueClaim,
    claim_of,
    claims_in,
    claims_in_events,
    event_with_values,
    filled,
    filled_event,
    marked,
    read_claim,
    with_values,
)
from sagakit.errors import InvalidInput, StreamMissing, ValueLost
from sagakit.messages.limits import input_limit
from sagakit.store.claimed_values import read_value
from sagakit.store.ports import Store
from sagakit.system.io.persistence import through_outage
from sagakit.system.io.value_writes import save

INPUTS = 4 * LARGEST
"""Bytes of inputs that a worker reads at once from their own bucket: a start of a few bytes may name a large input."""


class SagaWithClaims(NamedTuple):
    """A saga of another store, with its events, as this store keeps it."""

    record: Record
    events: Sequence[CloudEvent]


class SagaValues:
    """The large values of one saga in this worker. Its slot has them as long as the saga is active."""

    __slots__ = ("_limit", "_run", "_under_way", "_unsaved", "values")

    def __init__(self, run: str, limit: float, values: dict[str, bytes] | None = None) -> None:
        self._run = run
        self._limit = limit
        self.values: dict[str, bytes] = values or {}
        """The values by name."""
        self._unsaved: dict[str, ValueClaim] = {}
        self._under_way: tuple[str, ...] = ()

    def claim(self, value: msgspec.Raw) -> msgspec.Raw:
        """Return a claim of a large value, or the value itself. The next write of the record stores the value."""
        size = len(memoryview(value))
        # a small value that has the form of a claim would be taken for one when the record is read
        if size > LARGEST or (size <= self._limit and read_claim(value) is None):
            return value
        claim = claim_of(value, self._run)
        if claim.name not in self.values:
            self.values[claim.name] = bytes(value)
            self._unsaved[claim.name] = claim
        return claim.as_value()

    def claim_again(self, before: Record, record: Record) -> Record:
        """Return a record that was filled in, and changed, with claims of its large values.

        Its events carry what they did in the record `before`, as it is stored: claims, too.
        """
        # A value that was claimed has to be claimed again, or the record could outgrow a message: also a value that is
        # below a `claim_above` which was raised since. So the limit is one byte less than the smallest of them.
        self._limit = min([self._limit, *(len(value) - 1 for value in self.values.values())])
        after = with_values(record, self.claim)
        return structs.replace(after, outbox=outbox_kept(before, after))

    def fill(self, record: Record) -> Record:
        """Return the record with its values."""
        return filled(record, self.values) if self.values else record

    def to_save(self) -> tuple[tuple[ValueClaim, bytes], ...]:
        """Return the values that have to be stored before the next write of the record."""
        if not self._unsaved:
            self._under_way = ()
            return ()
        # values that are claimed while this write is under way are not a part of it: `saved` must not forget them
        self._under_way = tuple(self._unsaved)
        return tuple((claim, self.values[name]) for name, claim in self._unsaved.items())

    def saved(self) -> None:
        """Note that the last write of the record is durable, and so is what it had to store."""
        for name in self._under_way:
            self._unsaved.pop(name, None)


class ByteBudget:
    """A budget of bytes: first come, first served. A task that wants more than the whole budget waits for all of it."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._turn = trio.Lock()
        self._given_back = trio.Event()

    @asynccontextmanager
    async def spend(self, size: int) -> AsyncIterator[None]:
        """Wait until so many bytes are left, and hold them within the block."""
        size = min(size, self._size)
        async with self._turn:
            while self._left < size:
                self._given_back = trio.Event()
                await self._given_back.wait()
            self._left -= size
        try:
            yield
        finally:
            self._left += size
            self._given_back.set()


class LargeValues:
    """The claims of one worker's sagas. `above` is the largest size, in bytes, of a value in a record; None is off."""

    def __init__(self, store: Store, above: int | None) -> None:
        self._store = store
        self._limit: float = inf if above is None else min(above, input_limit(store.max_payload))
        self.on: bool = above is not None
        """True if large values are claimed. Claims that records have already are filled in anyway."""
        self._inputs = ByteBudget(INPUTS)

    def of_new(self, run: str) -> SagaValues | None:
        """Return the values of a new saga; None if nothing is claimed."""
        return SagaValues(run, self._limit) if self.on else None

    async def load(self, key: str, record: Record, known: SagaValues | None = None) -> SagaValues | None:
        """Return the values of a record; None if nothing is claimed. Waits through an outage. Raises ValueLost."""
        wanted = claims_in(record)
        if not wanted and not self.on:
            return None
        found = SagaValues(record.run, self._limit) if known is None else known
        for claim in wanted:
            if claim.name not in found.values:
                found.values[claim.name] = await self._read(key, claim)
        return found

    async def filled(self, key: str, record: Record) -> Record:
        """Return a record with its values. Waits through an outage. Raises ValueLost."""
        wanted = claims_in(record)
        return filled(record, {claim.name: await self._read(key, claim) for claim in wanted}) if wanted else record

    async def filled_events(self, key: str, run: str, events: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
        """Return events of a run with their values. Waits through an outage. Raises ValueLost."""
        wanted = {claim.name: claim for claim in claims_in_events(events, run)}
        values = {name: await self._read(key, claim) for name, claim in wanted.items()}
        return [filled_event(event, run, values) for event in events]

    async def stored(self, key: str, record: Record, events: Sequence[CloudEvent]) -> SagaWithClaims:
        """Store the large values of a saga that comes with its values, and return it with claims. Raises StoreError."""
        if not self.on:
            return SagaWithClaims(record, events)
        values = SagaValues(record.run, self._limit)
        record, events = with_values(record, values.claim), [event_with_values(event, values.claim) for event in events]
        await save(self._store, key, values.to_save())
        return SagaWithClaims(marked(record) if values.values else record, events)

    @asynccontextmanager
    async def room_for_input(self, value: msgspec.Raw) -> AsyncIterator[None]:
        """Wait until an input that is stored apart may be read, and hold memory for it within the block."""
        claim = read_claim(value)
        if claim is None or claim.size > LARGEST:  # which is refused
            yield
            return
        async with self._inputs.spend(claim.size):
            yield

    async def input_of(self, key: str, value: msgspec.Raw) -> msgspec.Raw:
        """Return the input of a start, which is a claim if its sender has stored it. Raises InvalidInput."""
        claim = read_claim(value)
        if claim is None:
            return value
        if claim.size > LARGEST:
            raise InvalidInput(f"the input has {claim.size:,} bytes, {LARGEST:,} are the most")
        read = partial(read_value, self._store.reading.values, "start", key, claim)
        try:
            return msgspec.Raw(await through_outage(self._store, read))
        except (ValueLost, StreamMissing) as error:
            why = error.found if isinstance(error, ValueLost) else str(error)
            raise InvalidInput(f"its input cannot be read: {why}") from None

    async def _read(self, key: str, claim: ValueClaim) -> bytes:
        read = partial(read_value, self._store.reading.values, "saga", key, claim)
        try:
            return await through_outage(self._store, read)
        except StreamMissing as error:
            raise ValueLost(key, f"a value of {claim.size:,} bytes is missing: {error}") from None
