"""The store in memory: for virtual time and fault injection. It passes the same contract suite as JetStream.

A `MemoryServer` is the durable side: it outlives runtimes. `open_memory` connects to one. What a test wants to go
wrong stands in `server.faults`. Nothing is acknowledged inside `submit`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

import trio

from sagakit.errors import Ambiguous, Conflict, NoResponders, StoreError, StoreFull, TooLarge, Unavailable
from sagakit.store.faults import Fault, Faults
from sagakit.store.names import Names
from sagakit.store.ports import Done, Entry, EventMessage, InboundMessage, Write

MAX_PAYLOAD = 2**20
ACK_WAIT = 30.0
"""Seconds after which an unacknowledged inbound message comes again."""


class _Value:
    """What stands under a key. `value` None is a delete marker."""

    __slots__ = ("expires", "revision", "value")

    def __init__(self, value: bytes | None, revision: int, expires: float | None) -> None:
        self.value = value
        self.revision = revision
        self.expires = expires


class MemoryBucket:
    """One bucket's data."""

    def __init__(self) -> None:
        self._values: dict[str, _Value] = {}
        self._revision = 0
        self._watchers: list[tuple[str, trio.MemorySendChannel[Entry]]] = []

    def _standing(self, key: str) -> _Value | None:
        found = self._values.get(key)
        if found is not None and found.expires is not None and found.expires <= trio.current_time():
            del self._values[key]
            return None
        return found

    def write(self, write: Write, *, delete: bool = False) -> int:
        """Apply a write at once. Raises Conflict."""
        standing = self._standing(write.key)
        if write.expected is not None and (standing.revision if standing else 0) != write.expected:
            raise Conflict(write.key, write.expected)
        self._revision += 1
        expires = None if write.ttl is None else trio.current_time() + write.ttl
        self._values[write.key] = _Value(None if delete else write.value, self._revision, expires)
        if not delete:
            self._tell(Entry(write.key, write.value, self._revision))
        return self._revision

    def read(self, key: str) -> Entry | None:
        """What a leader read answers."""
        found = self._standing(key)
        return None if found is None or found.value is None else Entry(key, found.value, found.revision)

    def purge(self, key: str) -> None:
        """Remove every trace."""
        self._values.pop(key, None)

    def entries(self, prefix: str) -> list[Entry]:
        """All entries whose first token is `prefix`, or all."""
        keys = [key for key in self._values if not prefix or key.startswith(prefix + ".")]
        return [entry for key in keys if (entry := self.read(key)) is not None]

    def watch(self, prefix: str, send: trio.MemorySendChannel[Entry]) -> Callable[[], None]:
        """Tell `send` of later changes; returns how to end that."""
        watcher = (prefix, send)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _tell(self, entry: Entry) -> None:
        for prefix, send in self._watchers:
            if not prefix or entry.key.startswith(prefix + "."):
                send.send_nowait(entry)


class _Queued:
    """An inbound message on the server."""

    def __init__(self, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        self.id = id
        self.saga_type = saga_type
        self.saga_id = saga_id
        self.payload = payload
        self.again_at = 0.0


class MemoryServer:
    """The durable side. One a test; several stores may be connected to it."""

    def __init__(self, *, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload = max_payload
        self.faults: Faults = Faults()
        self.events: list[EventMessage] = []
        self._event_ids: dict[str, int] = {}
        self._buckets: dict[str, MemoryBucket] = {}
        self.inbox: list[_Queued] = []
        self.inbox_ids: set[str] = set()
        self.handlers: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}

    def bucket(self, name: str) -> MemoryBucket:
        """The bucket of that name, made when first asked for."""
        return self._buckets.setdefault(name, MemoryBucket())

    def append(self, message: EventMessage) -> int:
        """Add an event; a known id is not added again."""
        if message.id not in self._event_ids:
            self.events.append(message)
            self._event_ids[message.id] = len(self.events)
        return self._event_ids[message.id]


class _Connection:
    """Carries operations to the server one by one, in the order in which they were handed in."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self._queue: deque[Callable[[], None]] = deque()
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.handed_in: int = 0
        self.cut = False
        self.served: list[str] = []

    @property
    def away(self) -> bool:
        return self.cut or self.server.faults.outage

    def hand_in(self, operation: Callable[[], None]) -> None:
        self.handed_in += 1
        self._queue.append(operation)
        self._wake.set()

    async def carry(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        while True:
            while self._queue:
                self._queue.popleft()()
                await trio.lowlevel.checkpoint()
            self._wake = trio.Event()
            if not self._queue:
                await self._wake.wait()

    def write(self, apply: Callable[[], int], *, key: str, size: int, done: Done) -> None:
        """Apply a write as the faults want it, and say how it ended."""
        if self.cut:
            return
        faults = self.server.faults
        if faults.outage:
            done(Unavailable(f"{key}: disconnected"))
            return
        if size > self.server.max_payload:
            done(TooLarge(f"{key}: {size:,} bytes exceed {self.server.max_payload:,}"))
            return
        fault = faults.next_for(key)
        if fault is None:
            done(_outcome(apply))
            return
        assert self._nursery is not None
        self._nursery.start_soon(_faulty, fault, key, apply, done)


def _outcome(apply: Callable[[], int]) -> int | StoreError:
    try:
        return apply()
    except StoreError as error:
        return error


async def _faulty(fault: Fault, key: str, apply: Callable[[], int], done: Done) -> None:
    match fault.kind:
        case "lose_ack":
            _outcome(apply)
            await trio.sleep(fault.delay)
            done(Ambiguous(f"{key}: no answer in time"))
        case "never_applied":
            await trio.sleep(fault.delay)
            done(Ambiguous(f"{key}: no answer in time"))
        case "applied_late":
            done(Ambiguous(f"{key}: no answer in time"))
            await trio.sleep(fault.delay)
            _outcome(apply)
        case "slow":
            await trio.sleep(fault.delay)
            done(_outcome(apply))
        case "unsent":
            done(Unavailable(f"{key}: not sent"))
        case "full":
            done(StoreFull(f"{key}: the bucket is full"))


class MemoryKeyValue:
    """The port is `KeyValue`."""

    def __init__(self, connection: _Connection, names: Names, buckets: Sequence[str]) -> None:
        self._connection = connection
        self._names = names
        self._buckets = [connection.server.bucket(name) for name in buckets]

    def _bucket(self, key: str) -> MemoryBucket:
        return self._buckets[self._names.shard_of(key) if len(self._buckets) > 1 else 0]

    def submit(self, write: Write, done: Done) -> None:
        """Queue a write."""
        apply = partial(self._bucket(write.key).write, write)
        carry = partial(self._connection.write, apply, key=write.key, size=len(write.value), done=done)
        self._connection.hand_in(carry)

    async def _write(self, write: Write, *, delete: bool = False) -> int:
        result: list[int | StoreError] = []
        ended = trio.Event()

        def done(outcome: int | StoreError) -> None:
            result.append(outcome)
            ended.set()

        apply = partial(self._bucket(write.key).write, write, delete=delete)
        carry = partial(self._connection.write, apply, key=write.key, size=len(write.value), done=done)
        self._connection.hand_in(carry)
        await ended.wait()
        if isinstance(result[0], StoreError):
            raise result[0]
        return result[0]

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write whatever is there."""
        return await self._write(Write(key, value, None, ttl))

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write if nothing stands under the key, no delete marker either."""
        return await self._write(Write(key, value, 0, ttl))

    async def update(self, key: str, value: bytes, *, revision: int, ttl: float | None = None) -> int:
        """Replace exactly `revision`."""
        return await self._write(Write(key, value, revision, ttl))

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Delete, leaving a delete marker."""
        await self._write(Write(key, b"", revision), delete=True)

    async def purge(self, key: str) -> None:
        """Remove every trace of a key."""
        await self._reachable()
        self._bucket(key).purge(key)

    async def get(self, key: str) -> Entry | None:
        """Read."""
        await self._reachable()
        return self._bucket(key).read(key)

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that exist now."""
        async with self.entries(prefix) as entries:
            return [entry.key async for entry in entries]

    @asynccontextmanager
    async def entries(self, prefix: str = "") -> AsyncIterator[AsyncIterator[Entry]]:
        """A scan."""
        async with aclosing(self._scan(prefix)) as scan:
            yield scan

    async def _scan(self, prefix: str) -> AsyncGenerator[Entry]:
        for bucket in self._buckets:
            await self._reachable()
            for entry in bucket.entries(prefix):
                yield entry

    @asynccontextmanager
    async def watch(self, prefix: str = "") -> AsyncIterator[AsyncIterator[Entry]]:
        """Each later change."""
        send, receive = trio.open_memory_channel[Entry](10_000)
        ends = [bucket.watch(prefix, send) for bucket in self._buckets]
        try:
            yield receive
        finally:
            for end in ends:
                end()

    async def _reachable(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._connection.away:
            raise Unavailable("disconnected")


class MemoryEvents:
    """The port is `EventLog`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def submit(self, message: EventMessage, done: Done) -> None:
        """Queue an append."""
        apply = partial(self._connection.server.append, message)
        carry = partial(self._connection.write, apply, key=message.subject, size=len(message.payload), done=done)
        self._connection.hand_in(carry)


class MemoryInbox:
    """The port is `Inbox`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def send(self, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append once."""
        await trio.lowlevel.checkpoint()
        server = self._connection.server
        if self._connection.away:
            raise Unavailable("disconnected")
        if id not in server.inbox_ids:
            server.inbox_ids.add(id)
            server.inbox.append(_Queued(id, saga_type, saga_id, payload))

    @asynccontextmanager
    async def receive(self, saga_types: Sequence[str]) -> AsyncIterator[AsyncIterator[InboundMessage]]:
        """The messages for these types."""
        async with aclosing(self._messages(frozenset(saga_types))) as messages:
            yield messages

    async def _messages(self, saga_types: frozenset[str]) -> AsyncGenerator[InboundMessage]:
        server = self._connection.server
        while True:
            now = trio.current_time()
            due = [one for one in server.inbox if one.saga_type in saga_types and one.again_at <= now]
            for one in [] if self._connection.away else due:
                one.again_at = now + ACK_WAIT
                ack = partial(_forget, server, one)
                yield InboundMessage(one.id, one.saga_type, one.saga_id, one.payload, ack)
            await trio.sleep(0.01)


def _forget(server: MemoryServer, message: _Queued) -> None:
    if message in server.inbox:
        server.inbox.remove(message)


class MemoryControl:
    """The port is `Control`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._server = connection.server

    async def request(self, worker_id: str, payload: bytes, *, timeout: float) -> bytes:
        """Ask a worker."""
        await trio.lowlevel.checkpoint()
        if self._connection.away:
            raise Unavailable("disconnected")
        handler = self._server.handlers.get(worker_id)
        if handler is None:
            raise NoResponders("nobody listens")
        with trio.move_on_after(timeout):
            return await handler(payload)
        raise Ambiguous("no answer in time")

    @asynccontextmanager
    async def serve(self, worker_id: str, handler: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[None]:
        """Answer requests while the context is open."""
        self._server.handlers[worker_id] = handler
        self._connection.served.append(worker_id)
        try:
            yield
        finally:
            self._server.handlers.pop(worker_id, None)


class MemoryStore:
    """The port is `Store`."""

    def __init__(self, connection: _Connection, names: Names) -> None:
        self._server = connection.server
        self._connection = connection
        self.names = names
        self.state: MemoryKeyValue = MemoryKeyValue(connection, names, names.state)
        self.archive: MemoryKeyValue = MemoryKeyValue(connection, names, names.archive)
        self.meta: MemoryKeyValue = MemoryKeyValue(connection, names, [names.meta])
        self.workers: MemoryKeyValue = MemoryKeyValue(connection, names, [names.workers])
        self.events: MemoryEvents = MemoryEvents(connection)
        self.inbox: MemoryInbox = MemoryInbox(connection)
        self.control: MemoryControl = MemoryControl(connection)

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._server.max_payload

    def cut(self) -> None:
        """From now on nothing reaches the server or comes from it: to the others this process was killed."""
        self._connection.cut = True
        for worker_id in self._connection.served:
            self._server.handlers.pop(worker_id, None)

    @property
    def connected(self) -> bool:
        """False during an outage."""
        return not self._connection.away

    @property
    def messages_sent(self) -> int:
        """Operations handed to the server so far."""
        return self._connection.handed_in

    async def until_connected(self) -> None:
        """Return when there is no outage."""
        await self._server.faults.until_over()

    async def until_room(self) -> None:
        """There always is."""
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_memory(server: MemoryServer, *, names: Names | None = None) -> AsyncIterator[MemoryStore]:
    """Connect to a server in memory."""
    connection = _Connection(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.carry, nursery)
        yield MemoryStore(connection, names if names is not None else Names())
        nursery.cancel_scope.cancel()
