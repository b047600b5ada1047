"""The port of a bucket: keys and values at a leader, written by compare-and-set on a key's revision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from sagakit.errors import StoreError

Done = Callable[[int | StoreError], None]
"""A callback of `submit`: called once with the acknowledged revision (or stream sequence), or with the error.

It must not block. It is called in the trio thread.
"""


class Entry(msgspec.Struct, frozen=True):
    """A value of a bucket, as the leader has it."""

    key: str
    value: bytes
    revision: int


class Deletion(msgspec.Struct, frozen=True):
    """A delete marker under a key: as long as it is there, nothing can be created under that key.

    `operation` is DEL or PURGE, `at` the server's time in ISO 8601.
    """

    operation: str
    revision: int
    at: str

    def __str__(self) -> str:
        return f"`nats kv {self.operation.lower()}` at {self.at}"


class Write(msgspec.Struct, frozen=True):
    """A write of one key.

    `expected` is the revision to replace: 0 means that the key must not exist, None means any revision or none.
    `ttl` is the number of seconds after which the server removes the value; None keeps it. With `linger` the write may
    be delayed for a moment to travel with others, because nobody waits for it. A write that is `alone` shares no atomic
    batch with others: one that was ambiguous, or is likely to meet a conflict, which would refuse all of them.
    """

    key: str
    value: bytes
    expected: int | None = None
    ttl: float | None = None
    linger: bool = False
    alone: bool = False


class BucketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a bucket that is created.

    `ttl` in seconds, None for no expiry; `max_bytes` None for no limit; `history` in values a key.
    """

    description: str = ""
    max_bytes: int | None = None
    ttl: float | None = None
    replicas: int = 1
    history: int = 1
    storage: Literal["file", "memory"] = "file"


class BucketUsage(msgspec.Struct, frozen=True):
    """The bytes that a bucket or an account holds, and its limit in bytes; None for no limit."""

    name: str
    bytes: int
    limit: int | None = None


class Cursor:
    """The progress of scans over one prefix of one bucket: a scan begins there, and moves it when it is complete."""

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached: dict[str, int] = {}
        """The last revision that was read of each shard."""


class KeyValue(Protocol):
    """A bucket. With several shards one object represents them all; revisions are comparable for one key only."""

    def submit(self, write: Write, done: Done) -> None:
        """Queue a write, without blocking. `done` gets the revision or the error.

        The error is Conflict, Ambiguous, Unavailable, TooLarge, StoreFull, NotPermitted or Refused. Writes of one key
        are applied in the order in which they were submitted.
        """
        ...

    async def get(self, key: str) -> Entry | None:
        """Read a key from the leader; return None when it does not exist, was deleted or has expired.

        Raises Unavailable, or Ambiguous when no answer came in time.
        """
        ...

    async def deletion(self, key: str) -> Deletion | None:
        """Read from the leader the delete marker under a key; return None for a value, and where nothing is.

        Raises Unavailable, Ambiguous.
        """
        ...

    async def usage(self) -> Sequence[BucketUsage]:
        """Ask the leaders how much the bucket holds: one answer a shard, in their order.

        Raises Unavailable, Ambiguous.
        """
        ...

    async def until_there(self, key: str) -> None:
        """Return when the leader answers again for a key, after an operation ended in Unavailable or Ambiguous.

        All tasks that wait share one request at a time.
        """
        ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write a key, whatever it holds, and return the revision. Raises the errors of `submit` except Conflict."""
        ...

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write a key that holds nothing, not even a delete marker, and return the revision. Raises Conflict."""
        ...

    async def update(self, key: str, value: bytes, *, revision: int, ttl: float | None = None) -> int:
        """Replace exactly `revision`, and return the new one. Raises Conflict."""
        ...

    async def delete(self, key: str, *, revision: int | None = None) -> int:
        """Put a delete marker under a key, and return the marker's revision.

        Raises Conflict when `revision` is given and is not the key's.
        """
        ...

    async def purge(self, key: str, *, revision: int | None = None) -> None:
        """Remove every trace of a key, a delete marker too; with a `revision`, only what is not newer."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that exist now.

        `prefix` is a whole first token such as `PlaceOrder`; the server filters by it. Raises Unavailable, Ambiguous.
        """
        ...

    def entries(
        self, prefix: str = "", *, after: Cursor | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Entry]]:
        """Open the entries that exist now as a stream: a scan, for start-up and recovery.

        With a cursor, only entries that were written since the scan that moved it. A scan that is read to its end moves
        the cursor; one that is left early does not. If the bucket was created anew since, or was restored from a
        backup, everything is read.
        """
        ...

    def watch(self, prefix: str = "") -> AbstractAsyncContextManager[AsyncIterator[Entry]]:
        """Open each later change of a value as a stream. A hint, not a promise: a reconnect may lose changes."""
        ...
