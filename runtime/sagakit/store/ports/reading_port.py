"""The port of reading: windows of stored values, newest write first, for coroutines of asyncio and of trio alike.

The repository uses it. A stream keeps its messages by sequence, and a bucket keeps one message a key: so the order
of sequences is the order of the last writes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

from sagakit.store.names import Names

Patterns = Sequence[str]
"""Patterns of NATS, without the head that all subjects of the stream have; none at all fits every subject."""


class StoredValue(NamedTuple):
    """A message of a stream: its key or subject, its value, its sequence, and when the server stored it.

    `at` is in seconds since the epoch.
    """

    key: str
    value: bytes
    sequence: int
    at: float


class Window(NamedTuple):
    """A part of a stream, newest first. `below` is the sequence at which the next window begins; 0 if none is left."""

    values: Sequence[StoredValue]
    below: int


class Extent(NamedTuple):
    """The extent of a stream: the number of its messages, delete markers too, and what is known of those that are gone.

    `began` is when the first message that is left was stored, in seconds since the epoch; 0 if none is left. `is_whole`
    is True if nothing that was ever stored is gone, `has_gaps` if something is gone that was stored after `began`.
    """

    messages: int
    began: float
    is_whole: bool
    has_gaps: bool


class StreamReading(Protocol):
    """A stream that is read. Delete markers are left out. Each method raises Unavailable, Ambiguous, NotPermitted."""

    async def window(self, patterns: Patterns, *, upto: int | None, want: int) -> Window:
        """Return about `want` values with the highest sequences up to `upto`; None begins at the end of the stream.

        A window may have fewer values, even none, while some are left. It never has more than eight times as many.
        """
        ...

    def values(
        self, patterns: Patterns, *, after: int = 0, since: float = 0.0
    ) -> AsyncGenerator[Sequence[StoredValue]]:
        """Yield all values, oldest first, a page at a time, until the end of the stream is reached.

        With `after` only those with a higher sequence; with `since` those stored from then on, in seconds since the
        epoch. Keys that are written meanwhile come again with their new values, so that no key which exists the whole
        time is missed.
        """
        ...

    async def get(self, key: str) -> StoredValue | None:
        """Return the value of a key, from the leader; None if there is none."""
        ...

    async def get_each(self, keys: Sequence[str]) -> Sequence[StoredValue | None]:
        """Return the values of many keys, from the leader, in the order of the keys."""
        ...

    async def get_at(self, sequences: Sequence[int]) -> Sequence[StoredValue]:
        """Return the messages with these sequences, from the leader, without those that are gone."""
        ...

    async def extent(self) -> Extent:
        """Return the extent of the stream."""
        ...

    async def counts(self, patterns: Patterns, *, since: float = 0.0) -> Sequence[int]:
        """Return how many messages fit each pattern, and were stored from `since` on, in seconds since the epoch."""
        ...

    async def subjects(self, pattern: str) -> Mapping[str, int]:
        """Return the subjects that fit a pattern, each with its number of messages. Few subjects should fit."""
        ...


class StoreReading(Protocol):
    """The streams of a store, as the repository reads them."""

    @property
    def names(self) -> Names:
        """The names of the streams and subjects."""
        ...

    @property
    def state(self) -> Sequence[StreamReading]:
        """The live records and end markers, one stream a shard."""
        ...

    @property
    def archive(self) -> Sequence[StreamReading]:
        """The finished records, one stream a shard."""
        ...

    @property
    def events(self) -> Sequence[StreamReading]:
        """The published events, one stream a shard. Their keys are whole subjects."""
        ...

    @property
    def workers(self) -> StreamReading:
        """The leases, by worker id."""
        ...

    @property
    def values(self) -> StreamReading:
        """The parts of the large values."""
        ...

    async def now(self) -> float:
        """Return the server's time, in seconds since the epoch. Raises Unavailable, Ambiguous."""
        ...
