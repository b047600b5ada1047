"""The persistence actor: writes every record of a worker, in batches, and decides every ambiguous write.

See docs/architecture.md, "Ambiguous writes". A store never retries by itself. After a timeout or a conflict this actor
reads the value from the leader:

    its own bytes           the write has happened
    the expected revision   it has not: the same bytes are sent again, as the same compare-and-set
    another record          the record is another writer's: the saga's actor stops, fenced (P7)
    any other value         somebody without the right to write has put it there: the owner is told, and decides
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from logging import WARNING, getLogger
from typing import TypeVar

import msgspec
import trio
from msgspec import structs
from sagakit_actors import Actor, ActorContext, Backoff, Down

from sagakit.engine import Loaded, decode, foreign, marker_of
from sagakit.errors import (
    UNREADABLE,
    Ambiguous,
    Conflict,
    Deleted,
    Fenced,
    KvError,
    Overwritten,
    StoreError,
    StoreFull,
    StreamMissing,
    Unavailable,
    Undecodable,
)
from sagakit.ration import Ration
from sagakit.store.ports import Deletion, Entry, KeyValue, Store, Write
from sagakit.system.io.operations import Confirm, Load, OnSettled, PersistenceMessage, Put, Retire
from sagakit.system.io.value_writes import save

_log = getLogger("sagakit.persistence")

BATCH = 512
"""Number of messages that are taken from the mailbox at once, at most."""
AGAIN = 0.1
"""Delay, in seconds, before retrying a compare-and-set that was rejected although the expected revision is current."""
ARCHIVE_AGAIN = 1.0
"""Delay, in seconds, before retrying a write that the archive has refused."""
TAKEN_AGAIN = 10.0
"""Seconds between two looks at an archive that has another run's record, which only a person can remove."""
OUTAGE_AGAIN = Backoff(initial_interval=0.02, max_interval=1.0)
T = TypeVar("T")


class _Version(msgspec.Struct):
    run: str = ""
    version: int = 0


_version = msgspec.json.Decoder(_Version)


class Persistence(Actor[PersistenceMessage]):
    """Reads and writes all records of one worker.

    A crash loses nothing: the saga actors, which watch this one, hand in the same operations with the same bytes again.
    """

    tasks = True

    def __init__(self, store: Store, *, marker_ttl: float) -> None:
        self._store = store
        self._marker_ttl = marker_ttl
        self._in_flight: dict[str, int] = {}
        """Number of writes under way, by key."""
        self._loads: dict[str, list[Load]] = {}
        """Reads that wait until no write to their key is under way."""
        self._nursery: trio.Nursery | None = None
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    async def run(self, ctx: ActorContext[PersistenceMessage]) -> None:
        """Submit the operations that come in, while the store has room for unacknowledged messages, until stopped."""
        self._nursery = ctx.nursery
        try:
            while True:
                await self._store.until_room()
                for message in await ctx.receive_batch(BATCH):
                    self._take(message)
        finally:
            self._nursery = None

    def _take(self, message: PersistenceMessage | Down) -> None:
        match message:
            case Put():
                self._enter(message.key)
                if message.values:
                    self._soon(self._save_and_put, message)
                else:
                    self._put(message)
            case Confirm():
                self._enter(message.key)
                self._soon(self._confirm, message)
            case Retire():
                self._archive(message)
            case Load():
                self._load(message)
            case Down():
                pass

    def _soon(self, fn: Callable[..., Awaitable[None]], *args: object) -> None:
        """Start a task, unless this incarnation has ended: then its operations are handed in to the next one."""
        if self._nursery is not None:
            self._nursery.start_soon(fn, *args)

    # ------------------------------------------------------------ records

    async def _save_and_put(self, put: Put) -> None:
        """Store the values that a record names, and then the record: no record names a value that is not stored."""
        failures = 0
        while True:
            await self._store.until_connected()
            try:
                await save(self._store, put.key, put.values)
                break
            except StoreError as error:
                starts = put.expected == 0 and not isinstance(error, Unavailable | Ambiguous)
                if starts or (isinstance(error, StoreFull) and put.gives_way):
                    put.done(error)
                    self._leave(put.key)
                    return
                failures += 1
                self._trouble(type(error).__name__, f"{put.key}: a large value is not stored: {error}; trying again")
                await trio.sleep(OUTAGE_AGAIN.delay(failures))
        self._put(structs.replace(put, values=()))

    def _put(self, put: Put) -> None:
        self._store.state.submit(put, partial(self._put_ended, put))

    def _put_ended(self, put: Put, result: int | StoreError) -> None:
        if isinstance(result, int):
            if put.not_after is None or trio.current_time() <= put.not_after:
                put.done(result)
                self._leave(put.key)
            else:
                self._committed_late(put, result)
        elif isinstance(result, Conflict | Ambiguous | Unavailable) or (
            isinstance(result, StoreFull) and put.expected and not put.gives_way
        ):
            self._soon(self._settle, put, result)
        else:
            put.done(result)
            self._leave(put.key)

    def _committed_late(self, put: Put, revision: int) -> None:
        # so late that another run of the id may have come and gone since this worker looked into the archive: run, end
        # marker and all. The archive tells
        run = _version.decode(put.value).run
        self._soon(self._confirm, Confirm(key=put.key, run=run, revision=revision, done=put.done))

    async def _confirm(self, created: Confirm) -> None:
        key, done = created.key, created.done
        archived = await self._read(self._store.archive, key)
        try:
            marker = marker_of_other(archived, created.run)
        except Undecodable as error:
            done(error)
        else:
            if marker is None:
                done(created.revision)
            else:
                # the record gives way to the other run's end marker, so that the id is known as that run's again
                _log.warning("%s: created after a run of the same id had ended: it is not run", key)
                self._mark(key, marker, created.revision, lambda _: done(Conflict(key, 0)), alone=True)
        self._leave(key)

    async def _settle(self, put: Put, error: StoreError) -> None:
        """Decide a write that was not acknowledged, by the value that the leader has. Wait through outages for that."""
        if isinstance(error, StoreFull):
            self._trouble("full", f"{error}; trying again")
            await trio.sleep(1.0)
        entry = await self._read(self._store.state, put.key)
        # a write id is never used for different bytes, so equal bytes are this very write: the first copy, or a resend
        if entry is not None and entry.value == put.value:
            self._put_ended(put, entry.revision)
            return
        if entry is None and put.ttl is not None:
            # only end markers have a TTL: this one was written and has expired since. Nobody needs its revision
            put.done(put.expected)
        elif (0 if entry is None else entry.revision) != put.expected:
            # revisions only grow: this compare-and-set fails from now on, also a copy that is still under way
            put.done(await self._not_ours(put, entry))
        elif put.expected == 0 and (gone := await self._deletion(self._store.state, put.key)) is not None:
            # a create finds nothing to conflict with, but the server refuses it: a deletion has left its own revision
            put.done(Deleted(put.key, str(gone)))
        else:
            # nothing has happened yet. The same bytes are sent again with the same expectation: if a first copy is
            # still under way, one of the two succeeds, the other meets a conflict, and the read finds its own bytes
            if isinstance(error, Conflict):  # a write before this one may still be on its way through the cluster
                await trio.sleep(AGAIN)
            # while a copy may still arrive, the saga must not be told StoreFull and write something else in its place:
            # the late copy would take the revision that the other write expects
            in_doubt = isinstance(error, Ambiguous)
            # alone: if a first copy is under way, an atomic batch with the second one would fail with it, or seem to
            # have succeeded with it
            self._put(structs.replace(put, alone=True, gives_way=put.gives_way and not in_doubt))
            return
        self._leave(put.key)

    async def _not_ours(self, put: Put, entry: Entry | None) -> KvError:
        """Return the error for a write that can never succeed: what `entry`, under its key, says of the record."""
        key, expected = put.key, put.expected
        if expected == 0:
            return Conflict(key, 0)
        if entry is not None:
            why = foreign(key, entry.value)
            if why is not None:
                return Overwritten(key, why.found, entry.revision)
            return Fenced(key, f"another writer has it: expected revision {expected}, found revision {entry.revision}")
        gone = await self._deletion(self._store.state, key)
        if gone is None:
            return Fenced(
                key, f"its record is gone: expected revision {expected}, found nothing; its id can be started"
            )
        return Fenced(
            key,
            f"its record was deleted from outside, with {gone}: the saga stops here, and nothing of it is undone; "
            "`Runtime.delete` makes its id free to be started again",
        )

    # ----------------------------------------------------------- archive

    def _archive(self, retire: Retire, expected: int = 0) -> None:
        write = Write(retire.key, retire.value, expected, None, True, retire.alone)
        self._store.archive.submit(write, partial(self._archive_ended, retire))

    def _archive_ended(self, retire: Retire, result: int | StoreError) -> None:
        if isinstance(result, int):
            self._replace(retire)
        else:
            self._soon(self._settle_archive, retire, result)

    def _replace(self, retire: Retire) -> None:
        """Replace the record by its end marker. To be called once the archive has the record."""
        self._mark(retire.key, retire.marker, retire.expected, retire.done, alone=retire.alone)

    def _mark(self, key: str, marker: bytes, expected: int, done: OnSettled, *, alone: bool) -> None:
        ttl = self._marker_ttl
        self._take(Put(key=key, value=marker, expected=expected, ttl=ttl, linger=True, alone=alone, done=done))

    async def _settle_archive(self, retire: Retire, error: StoreError) -> None:
        if not isinstance(error, Conflict | Ambiguous | Unavailable):
            self._trouble(f"archive: {type(error).__name__}", f"{retire.key}: not archived yet: {error}; trying again")
            await trio.sleep(ARCHIVE_AGAIN)
        entry = await self._until_ours_or_free(retire)
        if entry is not None and _at_least(entry.value, retire):
            self._replace(retire)
            return
        # the next try replaces what was read: an older version of this run, something unreadable, or a deletion, which
        # has a revision, too
        found = entry or await self._deletion(self._store.archive, retire.key)
        self._archive(structs.replace(retire, alone=True), 0 if found is None else found.revision)

    async def _until_ours_or_free(self, retire: Retire) -> Entry | None:
        """Return the archive's entry under the key, once that is not another run's record.

        A run begins only if the archive has no other run under its id, so such a record was put there by somebody: from
        a backup, say. Only a person can tell which of the two is to be known under this id. Until then both are kept.
        """
        told = False
        while (entry := await self._read(self._store.archive, retire.key)) is not None:
            other = _run_of(entry.value)
            if other in ("", retire.run):
                break
            if not told:
                names = self._store.names
                bucket = names.archive[names.shard_of(retire.key)]
                _log.error(
                    "%s: run %s has ended, and the archive has the record of another run, %s: both are kept; look at "
                    "them, then remove the archived one with `nats kv purge %s %s`, and this one takes its place",
                    retire.key, retire.run, other, bucket, retire.key,
                )  # fmt: skip
            told = True
            await trio.sleep(TAKEN_AGAIN)
        return entry

    # ------------------------------------------------------------- reads

    def _load(self, load: Load) -> None:
        if load.key in self._in_flight:
            self._loads.setdefault(load.key, []).append(load)
        else:
            self._soon(self._answer, load)

    async def _answer(self, load: Load) -> None:
        load.done(await self._read(self._store.state, load.key))

    async def _read(self, bucket: KeyValue, key: str) -> Entry | None:
        return await self._ask(bucket, key, bucket.get)

    async def _deletion(self, bucket: KeyValue, key: str) -> Deletion | None:
        return await self._ask(bucket, key, bucket.deletion)

    async def _ask(self, bucket: KeyValue, key: str, question: Callable[[str], Awaitable[T]]) -> T:
        """Ask until there is an answer: a stream that was deleted, or a permission that was withdrawn, may return."""
        pause = Backoff(initial_interval=0.05, max_interval=10.0)
        failures = 0
        while True:
            try:
                return await ask(self._store, bucket, key, question)
            except StoreError as error:
                failures += 1
                if not isinstance(error, StreamMissing):  # the link reports a missing stream, once for all
                    self._trouble(f"read: {type(error).__name__}", f"{key}: cannot be read: {error}; trying again")
                await trio.sleep(pause.delay(failures))

    def _trouble(self, kind: str, text: str) -> None:
        self._ration.say(WARNING, "%s", text, kind=kind)

    def _enter(self, key: str) -> None:
        self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def _leave(self, key: str) -> None:
        left = self._in_flight.pop(key) - 1
        if left:
            self._in_flight[key] = left
        elif self._loads:
            for load in self._loads.pop(key, ()):
                self._soon(self._answer, load)


async def read(store: Store, bucket: KeyValue, key: str) -> Entry | None:
    """Read the value under a key from the leader. Waits through an outage (P12). Raises StoreError."""
    return await ask(store, bucket, key, bucket.get)


async def ask(store: Store, bucket: KeyValue, key: str, question: Callable[[str], Awaitable[T]]) -> T:
    """Ask a bucket's leader about a key. Waits through an outage (P12). Raises StoreError."""
    while True:
        await store.until_connected()
        try:
            return await question(key)
        except (Unavailable, Ambiguous):
            await bucket.until_there(key)


def marker_of_other(archived: Entry | None, run: str) -> bytes | None:
    """Return the end marker of another run in the archive, to which a new record must give way; None if there is none.

    `archived` is the archive's entry, `run` the run of the new record. Raises Undecodable.
    """
    # no clock is asked which of the two runs came first: the clocks of two machines differ. The order of the writes
    # says it (docs/decisions/0013-clocks.md):
    # 1. the worker that created the record had looked into the archive and seen nothing, otherwise it would not have
    #    created it. So the other run came into the archive after that look
    # 2. it came there before the create took effect: its live record was in the way of the create until its end marker
    #    was, and the end marker is written after the archive's record
    # so the other run came and went while the create was on its way, and the id is known
    ended = None if archived is None else decode(archived.key, archived.value)
    if not isinstance(ended, Loaded) or ended.record.outcome is None or ended.record.run == run:
        return None
    return marker_of(ended.record)


async def through_outage(store: Store, operation: Callable[[], Awaitable[T]]) -> T:
    """Run an idempotent operation, again and again during an outage. Raises its other errors."""
    failures = 0
    while True:
        await store.until_connected()
        try:
            return await operation()
        except (Unavailable, Ambiguous):
            failures += 1
            await trio.sleep(OUTAGE_AGAIN.delay(failures))


def _run_of(value: bytes) -> str:
    """Return the run of an archived value; empty if the value is not a record."""
    try:
        return _version.decode(value).run
    except UNREADABLE:
        return ""


def _at_least(value: bytes, retire: Retire) -> bool:
    """Return True if an archived value is of this run, at this version or a higher one."""
    if value == retire.value:
        return True
    try:
        found = _version.decode(value)
    except UNREADABLE:
        return False
    return found.run == retire.run and found.version >= retire.version
