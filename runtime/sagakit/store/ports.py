"""The ports: what the runtime needs of a store. `sagakit.store.memory` and `sagakit.jetstream` provide them.

Crash contract. A write whose revision was returned is durable. A write that ended in `Unavailable` was never sent. One
that ended in `Ambiguous` may have happened, may not have, and may still happen later; the reader decides by reading
from the leader. Nothing here retries by itself.

Two ways in. The `submit` methods queue without blocking and call back once, in the trio thread: the persistence and
the publisher actor use them for batches. The async methods park the calling trio task; they are for all else. A
cancelled async write may still land.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from sagakit.errors import StoreError
from sagakit.store.names import Names

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


class Usage(msgspec.Struct, frozen=True):
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

    async def usage(self) -> Sequence[Usage]:
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


class InboundMessage(msgspec.Struct, frozen=True):
    """One message of the inbox, not yet acknowledged; unacknowledged ones come again after a while.

    `position` grows from message to message. `ack` is a fire-and-forget, and so is `release`: it lets another worker
    have the message at once.
    """

    id: str
    saga_type: str
    saga_id: str
    position: int
    payload: bytes
    ack: Callable[[], None]
    release: Callable[[], None]


class Inbox(Protocol):
    """The work queue of what reaches sagas from outside."""

    async def send(self, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append; durable once this returns. The same `id` again is stored once (within the dedup window)."""
        ...

    async def is_first(self, message: InboundMessage) -> bool:
        """Whether no earlier message to the same saga is still to be applied. Raises Unavailable, Ambiguous."""
        ...

    async def check_only_ours(self) -> None:
        """Raise OtherDomain if a stream of another JetStream domain stores the same messages, too.

        For a worker that opens. Raises Unavailable.
        """
        ...

    def receive(self, saga_types: Sequence[str]) -> AbstractAsyncContextManager[AsyncIterator[InboundMessage]]:
        """The messages for these types, shared with the other workers that know them; goes on across outages."""
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

    async def account_usage(self) -> Usage | None:
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
