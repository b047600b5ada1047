"""The ports: what the runtime needs of a store. `sagakit.store.memory` and `sagakit.jetstream` provide them.

Crash contract. A write whose revision was returned is durable. A write that ended in `Unavailable` was never sent. One
that ended in `Ambiguous` may have happened, may not have, and may still happen later; the reader decides by reading
from the leader. Nothing here retries by itself.

Two ways in. The `submit` methods queue without blocking and call back once, in the trio thread: the persistence and
the publisher actor use them for batches. The async methods park the calling trio task; they are for all else. A
cancelled async write may still land.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

import msgspec

from sagakit.errors import StoreError
from sagakit.store.names import Channel, Names, SagaKey

Done = Callable[[int | StoreError], None]
"""Called once with the revision (or stream sequence) that was acknowledged, or with what went wrong. Must not block."""


class Entry(msgspec.Struct, frozen=True):
    """One value of a bucket as the leader has it."""

    key: str
    value: bytes
    revision: int


class Deletion(msgspec.Struct, frozen=True):
    """What a deletion has left under a key: nothing can be created there while it is there.

    `operation` is DEL or PURGE, `at` the server's time in ISO 8601.
    """

    operation: str
    revision: int
    at: str

    def __str__(self) -> str:
        return f"`nats kv {self.operation.lower()}` at {self.at}"


class Write(msgspec.Struct, frozen=True):
    """A write of one key.

    `expected` is the revision to replace: 0 means that the key must not exist, None means whatever is there.
    `ttl` in seconds makes the value go by itself; None keeps it. With `linger` nobody waits for it: it
    may wait a moment for others to go with.
    """

    key: str
    value: bytes
    expected: int | None = None
    ttl: float | None = None
    linger: bool = False


class BucketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`ttl` in seconds, None is for ever; `max_bytes` None is no limit; `history` in values a key."""

    description: str = ""
    max_bytes: int | None = None
    ttl: float | None = None
    replicas: int = 1
    history: int = 1
    storage: Literal["file", "memory"] = "file"


class BucketUsage(msgspec.Struct, frozen=True):
    """How much something holds, and may hold, in bytes; without a `limit` as much as there is."""

    name: str
    bytes: int
    limit: int | None = None


class EventMessage(msgspec.Struct, frozen=True):
    """One event on its way to the log. `key` is the saga's (it picks the shard), `id` becomes `Nats-Msg-Id`."""

    key: str
    subject: str
    id: str
    payload: bytes


class Cursor:
    """How far scans have come in a bucket: the next one that is given it begins there. For one prefix of one bucket."""

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached: dict[str, int] = {}
        """The last revision that was read of each shard."""


class KeyValue(Protocol):
    """A bucket. With several shards one object stands for all of them; revisions are comparable per key only."""

    def submit(self, write: Write, done: Done) -> None:
        """Queue a write. `done` gets the revision or the error.

        That is Conflict, Ambiguous, Unavailable, TooLarge, StoreFull or Refused.
        """
        ...

    async def get(self, key: str) -> Entry | None:
        """Read from the leader; None when the key does not exist, was deleted or has expired.

        Raises Unavailable, Ambiguous (no answer in time).
        """
        ...

    async def deletion(self, key: str) -> Deletion | None:
        """Read from the leader what a deletion has left under the key; None for a value, and for nothing at all.

        Raises Unavailable, Ambiguous.
        """
        ...

    async def usage(self) -> Sequence[BucketUsage]:
        """Ask the leaders how much the bucket holds: one answer a shard, in their order.

        Raises Unavailable, Ambiguous.
        """
        ...

    async def until_there(self, key: str) -> None:
        """Return when the leader answers again for this key, after an operation ended in Unavailable or Ambiguous.

        However many wait for it, the server is asked by one request at a time.
        """
        ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write whatever is there; returns the revision."""
        ...

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write if nothing stands under the key, no delete marker either. Raises Conflict."""
        ...

    async def update(self, key: str, value: bytes, *, revision: int, ttl: float | None = None) -> int:
        """Replace exactly `revision`. Raises Conflict."""
        ...

    async def delete(self, key: str, *, revision: int | None = None) -> int:
        """Delete, leaving a delete marker, whose revision is returned.

        Raises Conflict when `revision` is given and does not match.
        """
        ...

    async def purge(self, key: str, *, revision: int | None = None) -> None:
        """Remove every trace of the key, a delete marker too; with a `revision` nothing that is newer."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that exist now; `prefix` is a whole first token such as `PlaceOrder`, filtered at the server."""
        ...

    def entries(
        self, prefix: str = "", *, after: Cursor | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Entry]]:
        """The entries that exist now, as a stream: a scan, for start-up and recovery.

        With a cursor only those that were written since the scan that moved it. A scan that is read to its end moves
        it; of a bucket that was made anew since, or put back to what it was, everything is read.
        """
        ...

    def watch(self, prefix: str = "") -> AbstractAsyncContextManager[AsyncIterator[Entry]]:
        """Each later change (value entries only). A hint, never a promise: it may miss changes around a reconnect."""
        ...


class EventLog(Protocol):
    """The event stream(s)."""

    def submit(self, message: EventMessage, done: Done) -> None:
        """Queue an append. `done` gets the stream sequence (of the first copy, if this is a duplicate) or the error."""
        ...

    async def read(self, key: str, saga_type: str, *, since: float) -> list[bytes]:
        """The events of this type, in the stream of this key, stored from `since` on, in seconds since the epoch.

        In the order of the stream; those of other sagas are among them. Raises Unavailable, Ambiguous.
        """
        ...


class Acknowledger(Protocol):
    """What a worker can tell the server about a message that it was handed. Each is sent without waiting."""

    def ack(self) -> None:
        """Say that the message is done with."""
        ...

    def extend(self) -> None:
        """Say that the message is still being worked on: it stays here for another ACK_WAIT seconds."""
        ...

    def defer(self, seconds: float) -> None:
        """Give the message back; it comes again, to any worker, after so many seconds."""
        ...


class InboundMessage(msgspec.Struct, frozen=True):
    """One message of the inbox, not yet acknowledged; it comes again unless it is extended or acknowledged in time.

    `id` is the message's own, without the saga's key. `fault` says why its subject is not the address of a saga.
    `position` grows from message to message. `since` is when the server first stored it, in seconds since the epoch by
    the server's clock; parking keeps that. `headers` is the block as it came.
    """

    id: str
    channel: Channel
    saga_type: str
    saga_id: str
    position: int
    payload: bytes
    since: float
    subject: str
    acknowledger: Acknowledger
    parked: bool = False
    headers: bytes = b""
    fault: str = ""

    @property
    def address(self) -> SagaKey:
        """The saga that it is for."""
        return SagaKey(self.saga_type, self.saga_id)


Source: TypeAlias = Literal["new", "parked", "parked starts"]
"""The messages of one type come from three places: as they are sent; those that wait for an owner; starts that wait for
room. None of them can hold up another."""

ACK_WAIT = 4.0
"""Seconds after which a message that is neither acknowledged nor extended comes again."""
UNKNOWN_TYPE_FOR = 600.0
"""Seconds that messages wait for the first worker that knows their type."""
DUPLICATES = 30.0
"""Seconds for which the inbox drops a message with an id that it has."""


class Inbox(Protocol):
    """The work queue of what reaches sagas from outside."""

    async def send(self, channel: Channel, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append; durable once this returns. The same `id` for the same saga again within DUPLICATES is dropped.

        A message over `system` is never dropped: its receiver applies it once.

        Raises Unavailable, Ambiguous, StoreFull, TooLarge.
        """
        ...

    async def check_only_ours(self) -> None:
        """Raise OtherDomain if a stream of another JetStream domain stores the same messages, too.

        For a worker that opens. Raises Unavailable.
        """
        ...

    def receive(self, saga_type: str, source: Source) -> AbstractAsyncContextManager[AsyncIterator[InboundMessage]]:
        """Open the messages of one type; they are shared with the other workers that know it.

        Goes on across outages. A page is asked for when the one before has been taken; what nobody took is given back
        when the context closes.
        """
        ...

    async def park(self, message: InboundMessage, *, start: bool) -> None:
        """Move a message to where it waits for an owner, or a start for room. Raises StoreError.

        The copy is durable before the message is acknowledged.
        """
        ...

    async def bury(self, message: InboundMessage, reason: str, *, by: str) -> None:
        """Keep a message that can never be applied as a dead letter, with its reason and the worker that gave it up.

        The dead letter is durable before the message is acknowledged. Raises StoreError.
        """
        ...

    async def start_waits(self, message: InboundMessage) -> bool:
        """Return whether a start of the same saga is still in the inbox. Raises Unavailable, Ambiguous."""
        ...

    async def any_start(self, saga_type: str) -> bool:
        """Return whether a start of any saga of this type is in the inbox. Raises Unavailable, Ambiguous."""
        ...

    def age(self, message: InboundMessage) -> float:
        """Return the seconds since the server first stored a message, by the server's clock."""
        ...

    def strays(self) -> AsyncGenerator[InboundMessage]:
        """Yield messages that no worker's `receive` covers. Raises StoreError.

        That is every message whose subject is not the address of a saga, and of those for types that no worker has ever
        known the ones that have waited for UNKNOWN_TYPE_FOR; of each subject the first one in any case.
        """
        ...


class Control(Protocol):
    """Request and reply between workers and clients; nothing here is durable."""

    async def request(self, worker_id: str, payload: bytes, *, timeout: float) -> bytes:
        """Ask a worker. Raises NoResponders when nobody listens, Ambiguous after `timeout` seconds, Unavailable."""
        ...

    def serve(self, worker_id: str, handler: Callable[[bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        """Answer requests to `worker_id` while the context is open; goes on across reconnects."""
        ...

    def announce(self, saga_types: Sequence[str], worker_id: str) -> None:
        """Tell the workers that know any of these types that sagas of this worker may be there to be adopted."""
        ...

    def announced(self, saga_types: Sequence[str], heard: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """Call `heard` with each worker that is announced for these types, while the context is open. A hint only."""
        ...


class Clock(Protocol):
    """The server's wall clock, as this process knows it: all times of sagas are its times. For any thread.

    Never two machines' clocks are compared: what is said on one worker holds on every other.
    """

    def now(self) -> float:
        """Seconds since the epoch. Runs back only when the server's clock was set back, by a second or more."""
        ...

    @property
    def skew(self) -> float:
        """Seconds by which this machine's own wall clock is ahead of it; negative: behind."""
        ...

    async def until_set(self) -> None:
        """Return when it is corrected the next time: whoever waits for a time looks again. For trio's thread."""
        ...


class Store(Protocol):
    """An open store with its buckets and streams in place."""

    @property
    def names(self) -> Names: ...
    @property
    def max_payload(self) -> int:
        """Bytes that one message may have at most."""
        ...

    @property
    def clustered(self) -> bool:
        """Whether several servers stand behind it, which elect leaders."""
        ...

    @property
    def state(self) -> KeyValue: ...
    @property
    def archive(self) -> KeyValue: ...
    @property
    def meta(self) -> KeyValue: ...
    @property
    def workers(self) -> KeyValue: ...
    @property
    def events(self) -> EventLog: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def control(self) -> Control: ...
    @property
    def clock(self) -> Clock: ...

    @property
    def connected(self) -> bool:
        """Whether requests have a chance now. A disconnect is a state, not an error."""
        ...

    @property
    def messages_sent(self) -> int:
        """Messages sent to the server over this connection so far."""
        ...

    async def create_bucket(self, name: str, options: BucketOptions) -> KeyValue:
        """A bucket of the caller's own, made if it is not there yet; one that is there stays as it is.

        Raises BadBucket, Unavailable.
        """
        ...

    async def account_usage(self) -> BucketUsage | None:
        """Ask how much storage the account uses, all its buckets and streams together; None if it has no limit.

        Raises Unavailable, Ambiguous.
        """
        ...

    @property
    def reconnected_at(self) -> float:
        """When the connection last came back after it was lost, in trio's time; -inf if it never did."""
        ...

    async def until_connected(self) -> None:
        """Return when `connected`; at once if it is."""
        ...

    async def until_reconnected(self, since: float) -> None:
        """Return when the connection has come back after `since` (trio's time)."""
        ...

    async def until_room(self) -> None:
        """Return when the window of unacknowledged messages and bytes has room: back pressure for those who submit."""
        ...
