"""The journal of one saga: its record as one incarnation of its actor knows it, and the one operation under way.

    load, look, confirm, write, write_back, retire    each hands one operation to the persistence actor
    settled                                           takes its result, and goes on with what follows it

One operation is under way at a time. Each has a number that grows over all incarnations, so that an answer to a lost
incarnation, or of a lost persistence actor, is told from the one that is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import trio
from msgspec import structs
from sagakit_actors import Ref

from sagakit.engine import (
    Loaded,
    Published,
    Record,
    UnknownFields,
    decode,
    encode,
    foreign,
    marker_of,
    read_header,
    stamped,
)
from sagakit.engine.events import with_logged
from sagakit.engine.value_claims import marked
from sagakit.errors import Fenced, NewerSchema, Overwritten, SagakitError, StoreError, Undecodable
from sagakit.store.ports import Entry
from sagakit.system.environment import Environment
from sagakit.system.io.operations import Confirm, Load, OnSettled, PersistenceMessage, Put, Retire
from sagakit.system.record_cache import CachedRecord
from sagakit.system.saga.saga_messages import SagaMessage, Settled
from sagakit.system.saga.slot import SagaSlot

Result: TypeAlias = "int | Entry | None"


class OutOfDate(SagakitError):
    """The cached record is older than the stored one, which this worker has written. Restart from the stored one."""


class Journal:
    """Belongs to one incarnation of a saga's actor."""

    __slots__ = (
        "_environment", "_key", "_ref", "_slot", "_then", "_value", "operation", "record", "revision", "unknown",
    )  # fmt: skip

    record: Record
    """The last durable record. Not set before the first write is durable, or the record is loaded."""

    def __init__(self, environment: Environment, slot: SagaSlot, ref: Ref[SagaMessage]) -> None:
        self._environment = environment
        self._slot = slot
        self._key = slot.key
        self._ref = ref
        self.revision: int = 0
        """The revision that the next write expects."""
        self.unknown: UnknownFields | None = None
        """Fields that a newer sagakit has put into the record. They are written back as they are."""
        self._value = b""
        """The record as it is stored; empty before the first one is stored or loaded."""
        self.operation: PersistenceMessage | None = None
        """The operation that is under way."""
        self._then: Callable[[Result], None] | None = None

    # ----------------------------------------------------------------- read

    def load(
        self, found: Callable[[Loaded, int], None], gone: Callable[[bool], None], kept: CachedRecord | None = None
    ) -> None:
        """Read this worker's own record, unless it has been `kept`; call `found` with it and its revision.

        Otherwise call `gone`: with True if nothing is stored under the key; with False if the saga has ended, is
        another worker's, or cannot be read here.
        """
        load = Load(self._key, self._done())
        if kept is None:
            self._operate(load, partial(self._loaded, found, gone, trio.current_time()))
        else:
            self.operation, self._then = load, partial(self._loaded, found, gone, kept.seen_at)
            load.done(kept.entry)

    def kept(self) -> CachedRecord | None:
        """Return the stored record, to be kept for the next incarnation; None if it is not known as it is stored."""
        if not self._value:
            return None
        return CachedRecord(Entry(self._key, self._value, self.revision), self._slot.seen_at, self.record.run)

    def _loaded(
        self, found: Callable[[Loaded, int], None], gone: Callable[[bool], None], at: float, entry: Result
    ) -> None:
        stored = entry if isinstance(entry, Entry) else None
        self._value = b"" if stored is None else stored.value
        try:
            content = None if stored is None else decode(self._key, stored.value)
        except Undecodable as error:
            assert stored is not None
            if self._slot.durable is None or isinstance(error, NewerSchema):
                # nobody here has the record in memory, or a newer worker has written a good one
                self._environment.reports.left_alone(self._key, str(error))
                gone(False)
            else:
                self.write_back(Overwritten(self._key, error.found, stored.revision), lambda: self.load(found, gone))
            return
        if stored is not None and isinstance(content, Loaded) and content.record.owner == self._environment.worker_id:
            self._slot.seen_at = at
            found(content, stored.revision)
        else:  # the saga never came to be, has ended, or is another worker's
            self._slot.accounted_for = True
            gone(content is None)

    def look(self, then: Callable[[], None]) -> None:
        """Make sure that the stored record is still the one that is known here, then call `then`.

        Raises Fenced if another worker has it, OutOfDate if an earlier incarnation has written it since.
        """
        self._operate(Load(self._key, self._done()), partial(self._looked, then, trio.current_time()))

    def _looked(self, then: Callable[[], None], at: float, entry: Result) -> None:
        if not isinstance(entry, Entry):
            raise Fenced(self._key, f"its record is gone: expected revision {self.revision}, found nothing")
        if entry.revision == self.revision:
            self._slot.seen_at = at
            then()
        elif (other := foreign(self._key, entry.value)) is None:
            self._changed(entry)
        elif self._slot.durable is None:  # held back before it was adopted: there is nothing to write back
            raise Fenced(self._key, f"its record was replaced before it was adopted here: {other}")
        else:
            self.write_back(Overwritten(self._key, other.found, entry.revision), then)

    def _changed(self, entry: Entry) -> None:
        """Raise what a record, an end marker or a newer sagakit's record under the key means for this incarnation."""
        text = f"expected revision {self.revision}, found revision {entry.revision}"
        with suppress(NewerSchema):
            if read_header(self._key, entry.value).owner == self._environment.worker_id:
                self._slot.durable = None  # older than the stored one
                raise OutOfDate(f"{self._key}: {text}")
        raise Fenced(self._key, f"another writer has it: {text}")

    def may_be_lost(self, run: str) -> bool:
        """Return True if the saga may be another worker's, or removed from outside: somebody knows another `run`."""
        return run not in ("", self.record.run) or not self._environment.is_ours_since(self._slot.seen_at)

    def is_behind(self, revision: int, at: float) -> bool:
        """Return True if the stored record, as a scan that began at `at` (trio time) saw it, is newer than this one.

        While an operation is under way its result tells more than the scan does: the answer is False.
        """
        if self.operation is not None:
            return False
        if revision == self.revision:
            self._slot.seen_at = max(self._slot.seen_at, at)
        return revision > self.revision

    # ---------------------------------------------------------------- write

    def write(
        self,
        record: Record,
        then: Callable[[Record], None],
        *,
        gives_way: bool,
        alone: bool = False,
        not_after: float | None = None,
    ) -> int:
        """Write the next version of the record; call `then` with it once it is durable. Return its size in bytes.

        With `gives_way`, the write ends in StoreFull at the first refusal. `alone` and `not_after` (trio time) are as
        in `Put`.
        """
        environment = self._environment
        record = stamped(record, write=environment.next_write())
        values = self._slot.values
        save = () if values is None else values.to_save()
        if values is not None and values.values:
            record = marked(record)
        value = encode(record, self.unknown)
        size = len(value)
        room = environment.room
        if room.limited and self._value:
            room.submitted(self._key, size - len(self._value))
        put = Put(
            key=self._key, value=value, expected=self.revision, done=self._done(), not_after=not_after,
            gives_way=gives_way, alone=alone, values=save,
        )  # fmt: skip
        self._operate(put, partial(self._written, record, then, environment.trio_time(), value))
        return size

    def _written(
        self, record: Record, then: Callable[[Record], None], sent: float, value: bytes, revision: Result
    ) -> None:
        assert isinstance(revision, int)
        environment, self._value = self._environment, value
        if self._slot.values is not None:
            self._slot.values.saved()
        self.became_durable(record, revision)
        self._slot.seen_at = sent
        environment.tally.writes.add(environment.trio_time() - sent)
        if environment.room.limited:
            environment.room.stored(self._key)
        then(record)

    def became_durable(self, record: Record, revision: int) -> None:
        """Note that this record is durable at this revision."""
        self.record, self.revision = record, revision
        slot = self._slot
        slot.durable = Loaded(record, self.unknown)
        if record.status != slot.status:
            self._environment.sagas.census.moved(record.saga_type, slot.status, record.status)
            self._environment.reports.tell_if_stuck(self._key, record)
            slot.status = record.status

    def confirm(self, loaded: Loaded, revision: int, then: Callable[[], None]) -> None:
        """Make sure that a record which was created, and not written since, may run; then call `then` (P10)."""
        confirm = Confirm(key=self._key, run=loaded.record.run, revision=revision, done=self._done())
        self._operate(confirm, lambda _: then())

    def retire(self, published: Published, then: Callable[[], None]) -> None:
        """Move the record into the archive, put the end marker in its place, and call `then`.

        All its events are in the log: `published` says where.
        """
        record = self.record
        logged = with_logged(record.logged, record.outbox, published)
        retire = Retire(
            key=self._key,
            value=encode(structs.replace(record, outbox=[], logged=logged), self.unknown),
            run=record.run,
            version=record.version,
            marker=marker_of(record),
            expected=self.revision,
            done=self._done(),
        )
        self._operate(retire, partial(self._retired, then))

    def _retired(self, then: Callable[[], None], _: Result) -> None:
        self._environment.room.submitted(self._key, -len(self._value))
        self._environment.room.stored(self._key)
        self._slot.accounted_for = True
        then()

    # ---------------------------------------------------------- overwritten

    def write_back(self, error: Overwritten, then: Callable[[], None]) -> None:
        """Put the last durable record, byte for byte, in the place of whatever has replaced it; then call `then`.

        Raises Fenced if another worker may have adopted the saga meanwhile.
        """
        last = self._slot.durable
        assert last is not None, "only a durable record can have been replaced"
        self._environment.overwritten(error, seen_at=self._slot.seen_at)
        value = encode(last.record, last.unknown)
        put = Put(key=self._key, value=value, expected=error.revision, alone=True, done=self._done())
        self._operate(put, partial(self._written_back, last.record, value, then))

    def _written_back(self, record: Record, value: bytes, then: Callable[[], None], revision: Result) -> None:
        assert isinstance(revision, int)
        self._value = value
        self.became_durable(record, revision)
        then()

    def _replace(self, operation: PersistenceMessage, then: Callable[[Result], None], error: Overwritten) -> None:
        """Hand in an operation again, so that it replaces what has overwritten the record. Raises Fenced."""
        assert not isinstance(operation, Load), "a Load has nothing to replace"
        self._environment.overwritten(error, seen_at=self._slot.seen_at)
        self._operate(structs.replace(_alone(operation), expected=error.revision, done=self._done()), then)

    # ------------------------------------------------------------ operations

    def settled(self, settled: Settled, *, replaces: bool) -> StoreError | None:
        """Go on after the operation that is under way; return the error that it ended with, if any.

        With `replaces`, an operation that found the record overwritten is handed in again. The result of any other
        operation is ignored.
        """
        operation, then, result = self.operation, self._then, settled.result
        if operation is None or then is None or settled.number != self._slot.operations:
            return None  # from a persistence actor that was lost meanwhile, or for the incarnation before
        self.operation = self._then = None
        if not isinstance(result, StoreError):
            then(result)
        elif replaces and isinstance(result, Overwritten):
            self._replace(operation, then, result)
        else:
            return result
        return None

    def hand_in_again(self) -> None:
        """Hand the operation that is under way to the next incarnation of the persistence actor."""
        if self.operation is not None:
            # alone: the lost persistence actor may have sent it in an atomic batch, which may still arrive
            self._environment.persistence.tell_nowait(_alone(self.operation))

    def _done(self) -> OnSettled:
        """Return a callback that tells the saga's actor the result of the next operation, with its number."""
        self._slot.operations = number = self._slot.operations + 1
        return partial(_settled, self._ref, number)

    def _operate(self, operation: PersistenceMessage, then: Callable[[Result], None]) -> None:
        assert self.operation is None, "an operation is under way"
        self.operation, self._then = operation, then
        self._environment.persistence.tell_nowait(operation)


def _alone(operation: PersistenceMessage) -> PersistenceMessage:
    return structs.replace(operation, alone=True) if isinstance(operation, Put | Retire) else operation


def _settled(ref: Ref[SagaMessage], number: int, result: Result | StoreError) -> None:
    ref.signal(Settled(number, result))
