"""The KV persistence actor: every write of a record goes through it, in batches, and every ambiguity ends in it.

Source of the rule: docs/architecture.md, "Ambiguous writes". A resend is byte-identical. After a timeout or a conflict
the value is read from the leader: own bytes mean committed; the expected revision still in place means send the same
compare-and-set again; another record means that it is another writer's (P7). What is no record of the saga was put
there by somebody who may not write it: the owner is told, and decides.
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

_log = getLogger("sagakit.persistence")

BATCH = 512
AGAIN = 0.1
"""Seconds after which a write is sent again that was refused though what it expects is in place: one before it may be
on its way through a cluster still."""
ARCHIVE_AGAIN = 1.0
"""Seconds after which the archive is tried again that did not take a record."""
TAKEN_AGAIN = 10.0
"""Seconds after which the archive is looked at again that has another run's record: only a person can remove that."""
T = TypeVar("T")


class _Version(msgspec.Struct):
    run: str = ""
    version: int = 0


_version = msgspec.json.Decoder(_Version)


class Persistence(Actor[PersistenceMessage]):
    """Carries all record I/O. A crash loses nothing: those who ask hand in the same bytes again."""

    tasks = True

    def __init__(self, store: Store, *, marker_ttl: float) -> None:
        self._store = store
        self._marker_ttl = marker_ttl
        self._in_flight: dict[str, int] = {}
        self._loads: dict[str, list[Load]] = {}
        self._nursery: trio.Nursery | None = None
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    async def run(self, ctx: ActorContext[PersistenceMessage]) -> None:
        """Submit whatever has gathered, as long as the window has room."""
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
        """Start a task of this incarnation; an acknowledgement that comes after its end is nobody's."""
        if self._nursery is not None:
            self._nursery.start_soon(fn, *args)

    # ------------------------------------------------------------ records

    def _put(self, put: Put) -> None:
        self._store.state.submit(put, partial(self._put_ended, put))

    def _put_ended(self, put: Put, result: int | StoreError) -> None:
        if isinstance(result, int):
            self._stands(put, result)
        elif isinstance(result, Conflict | Ambiguous | Unavailable) or (
            isinstance(result, StoreFull) and put.expected and not put.gives_way
        ):
            self._soon(self._settle, put, result)
        else:
            put.done(result)
            self._leave(put.key)

    def _stands(self, put: Put, revision: int) -> None:
        if put.not_after is None or trio.current_time() <= put.not_after:
            put.done(revision)
            self._leave(put.key)
        else:  # so late that another run of the id may have come and gone meanwhile, with its marker
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
                _log.warning("%s: created after a run of the same id had ended: it is not run", key)
                self._mark(key, marker, created.revision, lambda _: done(Conflict(key, 0)))
        self._leave(key)

    async def _settle(self, put: Put, error: StoreError) -> None:
        """Decide an ambiguous write by reading from the leader."""
        if isinstance(error, StoreFull):
            self._trouble("full", f"{error}; trying again")
            await trio.sleep(1.0)
        entry = await self._read(self._store.state, put.key)
        if entry is not None and entry.value == put.value:
            self._stands(put, entry.revision)
            return
        if entry is None and put.ttl is not None:
            put.done(put.expected)  # it was an end marker, and its time is over
        elif (0 if entry is None else entry.revision) != put.expected:
            put.done(await self._not_ours(put, entry))
        elif put.expected == 0 and (gone := await self._deletion(self._store.state, put.key)) is not None:
            put.done(Deleted(put.key, str(gone)))
        else:
            if isinstance(error, Conflict):
                await trio.sleep(AGAIN)
            in_doubt = isinstance(error, Ambiguous)  # it may still arrive: no other write may take its place
            self._put(structs.replace(put, gives_way=False) if in_doubt else put)
            return
        self._leave(put.key)

    async def _not_ours(self, put: Put, entry: Entry | None) -> KvError:
        """What has become of the record under the key of a write that can never be done."""
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
        write = Write(retire.key, retire.value, expected, linger=True)
        self._store.archive.submit(write, partial(self._archive_ended, retire))

    def _archive_ended(self, retire: Retire, result: int | StoreError) -> None:
        if isinstance(result, int):
            self._replace(retire)
        else:
            self._soon(self._settle_archive, retire, result)

    def _replace(self, retire: Retire) -> None:
        """The archive has it: the record may give way to its end marker."""
        self._mark(retire.key, retire.marker, retire.expected, retire.done)

    def _mark(self, key: str, marker: bytes, expected: int, done: OnSettled) -> None:
        self._take(Put(key=key, value=marker, expected=expected, ttl=self._marker_ttl, linger=True, done=done))

    async def _settle_archive(self, retire: Retire, error: StoreError) -> None:
        if not isinstance(error, Conflict | Ambiguous | Unavailable):
            self._trouble(f"archive: {type(error).__name__}", f"{retire.key}: not archived yet: {error}; trying again")
            await trio.sleep(ARCHIVE_AGAIN)
        entry = await self._until_ours_or_free(retire)
        if entry is not None and _at_least(entry.value, retire):
            self._replace(retire)
            return
        stands = entry or await self._deletion(self._store.archive, retire.key)
        self._archive(retire, 0 if stands is None else stands.revision)

    async def _until_ours_or_free(self, retire: Retire) -> Entry | None:
        """What the archive has, once that is not another run's record.

        Every run that began had been confirmed, so there is none, unless somebody has put it there: from a backup,
        say. Which of the two is to be known under this id only a person can tell; until then neither is lost.
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
        """Through whatever the server says: a stream that was deleted, a permission withdrawn may come back."""
        pause = Backoff(initial_interval=0.05, max_interval=10.0)
        failures = 0
        while True:
            try:
                return await ask(self._store, bucket, key, question)
            except StoreError as error:
                failures += 1
                if not isinstance(error, StreamMissing):  # the link tells that for all
                    self._trouble(f"read: {type(error).__name__}", f"{key}: cannot be read: {error}; trying again")
                await trio.sleep(pause.delay(failures))

    def _trouble(self, kind: str, text: str) -> None:
        self._ration.say(WARNING, "%s", text, kind=kind)

    def _enter(self, key: str) -> None:
        self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def _leave(self, key: str) -> None:
        self._in_flight[key] -= 1
        if not self._in_flight[key]:
            del self._in_flight[key]
            for load in self._loads.pop(key, []):
                self._soon(self._answer, load)


async def read(store: Store, bucket: KeyValue, key: str) -> Entry | None:
    """Read from the leader, through any outage (P12)."""
    return await ask(store, bucket, key, bucket.get)


async def ask(store: Store, bucket: KeyValue, key: str, question: Callable[[str], Awaitable[T]]) -> T:
    """Ask a bucket's leader about a key, through any outage (P12)."""
    while True:
        await store.until_connected()
        try:
            return await question(key)
        except (Unavailable, Ambiguous):
            await bucket.until_there(key)


def marker_of_other(archived: Entry | None, run: str) -> bytes | None:
    """The end marker of another run that the archive has, to which a record that was created must give way.

    No clock is asked when which of them ended or began: those of two machines differ. The order of the writes says it.
    Whoever creates a record under an id that may be known has looked into the archive, and seen none: else there is no
    create. So another run that is there now came there after that look. It was there before the create took effect,
    too, since its own record stood in the way until its end marker did, and that is written after the archive's. It
    came and went while the create was on its way. See docs/decisions/0013-clocks.md. Raises Undecodable.
    """
    ended = None if archived is None else decode(archived.key, archived.value)
    if not isinstance(ended, Loaded) or ended.record.outcome is None or ended.record.run == run:
        return None
    return marker_of(ended.record)


async def through_outage(store: Store, operation: Callable[[], Awaitable[T]]) -> T:
    """Run an idempotent operation again and again until the store answers it."""
    pause = Backoff(initial_interval=0.02, max_interval=1.0)
    failures = 0
    while True:
        await store.until_connected()
        try:
            return await operation()
        except (Unavailable, Ambiguous):
            failures += 1
            await trio.sleep(pause.delay(failures))


def _run_of(value: bytes) -> str:
    """The run that an archived value is of; empty for what is no record."""
    try:
        return _version.decode(value).run
    except UNREADABLE:
        return ""


def _at_least(value: bytes, retire: Retire) -> bool:
    """Whether the archive already has this run at this version or a higher one."""
    if value == retire.value:
        return True
    try:
        found = _version.decode(value)
    except UNREADABLE:
        return False
    return found.run == retire.run and found.version >= retire.version
