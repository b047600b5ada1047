"""The store in memory: for virtual time and fault injection. It passes the same contract suite as JetStream.

A `MemoryServer` is the durable side: it outlives runtimes. `open_memory` connects to one. A test orders its faults with
`server.faults`. Nothing is acknowledged inside `submit`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from sagakit.errors import Ambiguous, NoResponders, StoreError, Unavailable
from sagakit.store.bucket import BucketBase
from sagakit.store.event_chains import EventChain, put_together
from sagakit.store.faults import Watched
from sagakit.store.gathering import BatchDone, Gathering
from sagakit.store.memory_batches import Member
from sagakit.store.memory_commands import MemoryCommands
from sagakit.store.memory_connection import MemoryConnection
from sagakit.store.memory_inbox import MemoryInbox
from sagakit.store.memory_reading import MemoryReading
from sagakit.store.memory_server import MemoryBucket, MemoryClock, MemoryServer
from sagakit.store.names import Names, captures
from sagakit.store.ports import AppendQueue, BucketUsage, Cursor, Deletion, Done, Entry, EventMessage, Write


class MemoryKeyValue(BucketBase):
    """A bucket in memory, or several shards of one; implements the port `KeyValue`."""

    def __init__(
        self, connection: MemoryConnection, names: Names, buckets: Sequence[str], *, where: str = "other"
    ) -> None:
        self._connection = connection
        self._where = where
        self._names = names
        self._names_of_buckets = buckets
        self._buckets = [connection.server.bucket(name) for name in buckets]
        pauses = connection.pauses if where in ("state", "archive") else None
        self._gatherings = [None if pauses is None else Gathering(self, pauses) for _ in buckets]

    def _bucket(self, key: str) -> MemoryBucket:
        return self._buckets[self._names.shard_of(key) if len(self._buckets) > 1 else 0]

    def submit(self, write: Write, done: Done) -> None:
        """Queue a write, without blocking."""
        gathering = self._gatherings[self._names.shard_of(write.key) if len(self._buckets) > 1 else 0]
        if gathering is None:
            self.send_single(write, done)
        else:
            alone = write.alone or write.expected is None
            gathering.submit(write.key, write, len(write.value), done, alone=alone)

    def send_single(self, write: Write, done: Done) -> None:
        """Hand in a write by itself."""
        self._hand_in(write, partial(self._bucket(write.key).write, write), done)

    def send_batch(self, writes: Sequence[Write], done: BatchDone) -> None:
        """Hand in writes to one shard as an atomic batch."""
        members = [self._member(write, self._bucket(write.key)) for write in writes]
        self._connection.hand_in(partial(self._connection.write_batch, members, done))

    def _member(self, write: Write, bucket: MemoryBucket) -> Member:
        watched = Watched(self._where, write.key, write.value)
        return Member(watched, write.key, partial(bucket.check, write), partial(bucket.write, write))

    def _hand_in(self, write: Write, apply: Callable[[], int], done: Done) -> None:
        carry = partial(self._connection.write, apply, where=self._where, key=write.key, value=write.value, done=done)
        self._connection.hand_in(carry)

    async def _write(self, write: Write) -> int:
        return await self._carried(write, partial(self._bucket(write.key).write, write))

    async def _carried(self, write: Write, apply: Callable[[], int]) -> int:
        result: list[int | StoreError] = []
        ended = trio.Event()

        def done(outcome: int | StoreError) -> None:
            result.append(outcome)
            ended.set()

        self._hand_in(write, apply, done)
        await ended.wait()
        if isinstance(result[0], StoreError):
            raise result[0]
        return result[0]

    async def delete(self, key: str, *, revision: int | None = None) -> int:
        """Put a delete marker under a key."""
        write = Write(key, b"", revision)
        return await self._carried(write, partial(self._bucket(key).write, write, delete=True))

    async def purge(self, key: str, *, revision: int | None = None) -> None:
        """Remove every trace of a key."""
        await self._reachable()
        self._bucket(key).purge(key, revision)

    async def get(self, key: str) -> Entry | None:
        """Read a key."""
        await self._reachable()
        return self._bucket(key).read(key)

    async def deletion(self, key: str) -> Deletion | None:
        """Read the delete marker under a key."""
        await self._reachable()
        return self._bucket(key).deletion(key)

    async def usage(self) -> Sequence[BucketUsage]:
        """Return the bytes that the bucket holds, after all writes that were submitted before."""
        await self._reachable()
        reached = trio.Event()
        self._connection.hand_in(reached.set)
        await reached.wait()
        pairs = zip(self._names_of_buckets, self._buckets, strict=True)
        return [BucketUsage(name, bucket.bytes, bucket.max_bytes) for name, bucket in pairs]

    async def until_there(self, key: str) -> None:
        """Return when there is no outage, 20 ms later at the soonest."""
        # A caller may loop over this and a failing operation: without a wait, virtual time would never go on.
        await trio.sleep(0.02)
        await self._connection.server.faults.until_over()

    async def _scan(self, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]:
        for number, bucket in enumerate(self._buckets):
            await self._reachable()
            last, shard = bucket.last_revision, str(number)
            for entry in bucket.entries(prefix, after=cursor.reached.get(shard, 0)):
                yield entry
            cursor.reached[shard] = last

    @asynccontextmanager
    async def watch(self, prefix: str = "") -> AsyncIterator[AsyncIterator[Entry]]:
        """Open each later change as a stream."""
        send, receive = trio.open_memory_channel[Entry](10_000)
        ends = [bucket.watch(prefix, send) for bucket in self._buckets]
        try:
            yield receive
        finally:
            for end in ends:
                end()

    async def _reachable(self) -> None:
        await self._connection.thawed.wait()
        if self._connection.away:
            raise Unavailable("disconnected")


class MemoryEvents:
    """The event log in memory; implements the port `EventLog`."""

    def __init__(self, connection: MemoryConnection, names: Names) -> None:
        self._connection = connection
        self._names = names
        pauses = connection.pauses
        self._gatherings = [None if pauses is None else Gathering(self, pauses) for _ in names.events]
        self._captured = [subject for shard in range(names.shards) for subject in names.event_subjects(shard)]

    def submit(self, message: EventMessage, done: Done, queue: AppendQueue | None = None) -> None:
        """Queue an append. It ends in Unavailable for a subject that no stream captures, as with a real server."""
        if not any(captures(subject, message.subject) for subject in self._captured):
            done(Unavailable(f"{message.subject}: no stream captures it"))
            return
        gathering = self._gatherings[self._names.shard_of(message.key)]
        chain = EventChain(message, done, queue)
        if gathering is None:
            self.send_single(chain, chain.ended)
        else:
            gathering.submit(message.id, chain, len(message.payload), chain.ended, alone=message.alone)

    def send_batch(self, chains: Sequence[EventChain], done: BatchDone) -> None:
        """Hand in events as an atomic batch."""
        messages, ended = put_together(chains, done)
        members = [self._member(message) for message in messages]
        self._connection.hand_in(partial(self._connection.write_batch, members, ended))

    def _member(self, message: EventMessage) -> Member:
        server, watched = self._connection.server, Watched("events", message.subject, message.payload)
        return Member(watched, message.id, partial(server.check_unknown, message), partial(server.append, message))

    def send_single(self, chain: EventChain, done: Done) -> None:
        """Hand in an event by itself."""
        message = chain.single()
        apply = partial(self._connection.server.append, message)
        carry = partial(
            self._connection.write, apply, where="events", key=message.subject, value=message.payload, done=done
        )
        self._connection.hand_in(carry)


class MemoryControl:
    """Requests between workers in memory; implements the port `Control`."""

    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection
        self._server = connection.server

    async def request(self, worker_id: str, payload: bytes, *, timeout: float) -> bytes:
        """Ask a worker, and return its answer."""
        await trio.lowlevel.checkpoint()
        if self._connection.away:
            raise Unavailable("disconnected")
        handler = self._server.handlers.get(worker_id)
        if handler is None:
            raise NoResponders("nobody listens")
        with trio.move_on_after(timeout):
            await self._connection.thawed.wait()
            return await handler(payload)
        raise Ambiguous("no answer in time")

    @asynccontextmanager
    async def serve(self, worker_id: str, handler: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[None]:
        """Answer requests while the context is open."""

        async def thawed(payload: bytes) -> bytes:
            await self._connection.thawed.wait()
            return await handler(payload)

        self._server.handlers[worker_id] = thawed
        self._connection.served.append(worker_id)
        try:
            yield
        finally:
            self._server.handlers.pop(worker_id, None)

    def announce(self, saga_types: Sequence[str], worker_id: str) -> None:
        """Tell the workers that know any of these types."""
        if not self._connection.away:
            for listens_to, heard in list(self._server.listeners):
                if listens_to & set(saga_types):
                    heard(worker_id)

    @asynccontextmanager
    async def announced(self, saga_types: Sequence[str], heard: Callable[[str], None]) -> AsyncIterator[None]:
        """Call `heard` with each announced worker, while the context is open."""
        listener = (frozenset(saga_types), lambda worker_id: None if self._connection.away else heard(worker_id))
        self._server.listeners.append(listener)
        try:
            yield
        finally:
            self._server.listeners.remove(listener)


class MemoryStore:
    """A connection to a server in memory; implements the port `Store`. `cut` and `freeze` are for tests."""

    def __init__(self, connection: MemoryConnection, names: Names) -> None:
        self._server = connection.server
        self._connection = connection
        self.names = names
        self.clustered: bool = False
        self.state: MemoryKeyValue = MemoryKeyValue(connection, names, names.state, where="state")
        self.archive: MemoryKeyValue = MemoryKeyValue(connection, names, names.archive, where="archive")
        self.meta: MemoryKeyValue = MemoryKeyValue(connection, names, [names.meta])
        self.workers: MemoryKeyValue = MemoryKeyValue(connection, names, [names.workers])
        self.values: MemoryKeyValue = MemoryKeyValue(connection, names, [names.values], where="values")
        self.events: MemoryEvents = MemoryEvents(connection, names)
        self.reading: MemoryReading = MemoryReading(connection, names)
        self.commands: MemoryCommands = MemoryCommands(connection)
        self.inbox: MemoryInbox = MemoryInbox(connection, names)
        self.control: MemoryControl = MemoryControl(connection)
        self.clock: MemoryClock = connection.server.clock()

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._server.max_payload

    def cut(self) -> None:
        """Let nothing reach the server or come back any more: to all others this process was killed."""
        self._connection.cut = True
        for worker_id in self._connection.served:
            self._server.handlers.pop(worker_id, None)

    def freeze(self) -> None:
        """Let nothing get through from now on, unnoticed, as over a half-open link; `thaw` lets all of it pass."""
        self._connection.thawed = trio.Event()

    def thaw(self) -> None:
        """Make the link work again; operations that were handed in meanwhile arrive late."""
        self._connection.thawed.set()

    @property
    def connected(self) -> bool:
        """True while there is no outage."""
        return not self._connection.away

    @property
    def messages_sent(self) -> int:
        """The number of operations handed to the server so far."""
        return self._connection.handed_in

    async def complete_layout(self) -> None:
        """Do nothing: every bucket is created when it is first asked for."""
        await trio.lowlevel.checkpoint()

    async def check_values(self) -> None:
        """Do nothing: every bucket is created when it is first asked for."""
        await trio.lowlevel.checkpoint()

    async def account_usage(self) -> BucketUsage | None:
        """Return None: an account in memory has no limit."""
        await trio.lowlevel.checkpoint()
        return None

    async def until_connected(self) -> None:
        """Return when there is no outage."""
        await self._server.faults.until_over()

    @property
    def reconnected_at(self) -> float:
        """The end of the last outage, in trio's time; -inf if there was none."""
        return self._server.faults.over_at

    @property
    def reconnects(self) -> int:
        """Number of outages that have ended."""
        return self._server.faults.ended

    async def until_reconnected(self, since: float) -> None:
        """Return when an outage has ended after `since`."""
        await self._server.faults.until_over_after(since)

    async def until_room(self) -> None:
        """Return at once: there is always room."""
        await trio.lowlevel.checkpoint_if_cancelled()


@asynccontextmanager
async def open_memory(
    server: MemoryServer, *, names: Names | None = None, state_max_bytes: int | None = None
) -> AsyncIterator[MemoryStore]:
    """Connect to a server in memory. `state_max_bytes` limits state buckets that do not exist yet."""
    names = names if names is not None else Names()
    for name in names.state:
        server.limit(name, state_max_bytes)
    connection = MemoryConnection(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.carry, nursery)
        if connection.pauses is not None:
            nursery.start_soon(connection.pauses.keep)
        yield MemoryStore(connection, names)
        nursery.cancel_scope.cancel()
