"""The port `StoreReading` over the store in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

import trio

from sagakit.errors import Unavailable
from sagakit.store.memory_connection import MemoryConnection
from sagakit.store.memory_server import MemoryClock
from sagakit.store.names import Names, captures
from sagakit.store.ports import Extent, StoredValue, Window
from sagakit.store.ports.reading_port import Patterns

PAGE = 1000
"""Values in a page."""


async def until_reachable(connection: MemoryConnection) -> None:
    """Return once the link is not frozen. Raises Unavailable in an outage."""
    await trio.lowlevel.checkpoint()
    await connection.thawed.wait()
    if connection.away:
        raise Unavailable("disconnected")


class _MemoryValues(Protocol):
    @property
    def is_whole(self) -> bool:
        """True if nothing that was ever stored is gone."""
        ...

    def stored(self, clock: MemoryClock) -> Sequence[StoredValue]:
        """Return all values, oldest first."""
        ...


class _EventsOf:
    """The events of one shard, in the list that all shards share."""

    def __init__(self, connection: MemoryConnection, captured: Sequence[str]) -> None:
        self._server = connection.server
        self._captured = captured

    @property
    def is_whole(self) -> bool:
        return not self._server.events_lost

    def stored(self, clock: MemoryClock) -> Sequence[StoredValue]:
        return [
            StoredValue(one.subject, one.payload, number, self._server.event_times.get(number, 0.0))
            for number, one in enumerate(self._server.events, 1)
            if number > self._server.events_lost and any(captures(pattern, one.subject) for pattern in self._captured)
        ]


class MemoryStream:
    """A stream in memory; implements the port `StreamReading`."""

    def __init__(self, connection: MemoryConnection, source: _MemoryValues) -> None:
        self._connection = connection
        self._source = source

    async def _fitting(self, patterns: Patterns) -> list[StoredValue]:
        await until_reachable(self._connection)
        found = self._source.stored(self._connection.server.clock())
        return [one for one in found if not patterns or any(captures(pattern, one.key) for pattern in patterns)]

    async def window(self, patterns: Patterns, *, upto: int | None, want: int) -> Window:
        """Return the values with the highest sequences."""
        found = [one for one in await self._fitting(patterns) if upto is None or one.sequence <= upto]
        some = found[-want:]
        return Window(some[::-1], some[0].sequence - 1 if len(found) > want else 0)

    async def values(
        self, patterns: Patterns, *, after: int = 0, since: float = 0.0
    ) -> AsyncGenerator[Sequence[StoredValue]]:
        """Yield all values, oldest first."""
        while page := [one for one in await self._fitting(patterns) if one.sequence > after and one.at >= since][:PAGE]:
            yield page
            after = page[-1].sequence

    async def get_at(self, sequences: Sequence[int]) -> Sequence[StoredValue]:
        """Return the messages with these sequences."""
        return [one for one in await self._fitting(()) if one.sequence in sequences]

    async def get(self, key: str) -> StoredValue | None:
        """Return the value of a key."""
        [found] = await self.get_each([key])
        return found

    async def get_each(self, keys: Sequence[str]) -> Sequence[StoredValue | None]:
        """Return the values of many keys."""
        found = {one.key: one for one in await self._fitting(())}
        return [found.get(key) for key in keys]

    async def extent(self) -> Extent:
        """Return the extent of the stream."""
        found = await self._fitting(())
        return Extent(len(found), found[0].at if found else 0.0, self._source.is_whole, False)

    async def counts(self, patterns: Patterns, *, since: float = 0.0) -> Sequence[int]:
        """Return how many values fit each pattern."""
        found = [one.key for one in await self._fitting(()) if one.at >= since]
        return [sum(captures(pattern, key) for key in found) for pattern in patterns]

    async def subjects(self, pattern: str) -> Mapping[str, int]:
        """Return the subjects that fit a pattern."""
        found: dict[str, int] = {}
        for one in await self._fitting([pattern]):
            found[one.key] = found.get(one.key, 0) + 1
        return found


class MemoryReading:
    """The streams of a store in memory; implements the port `StoreReading`."""

    def __init__(self, connection: MemoryConnection, names: Names) -> None:
        self._connection = connection
        self.names = names
        self.state: Sequence[MemoryStream] = [self._bucket(name) for name in names.state]
        self.archive: Sequence[MemoryStream] = [self._bucket(name) for name in names.archive]
        self.events: Sequence[MemoryStream] = [
            MemoryStream(connection, _EventsOf(connection, names.event_subjects(shard)))
            for shard in range(names.shards)
        ]
        self.workers: MemoryStream = self._bucket(names.workers)
        self.values: MemoryStream = self._bucket(names.values)

    def _bucket(self, name: str) -> MemoryStream:
        return MemoryStream(self._connection, self._connection.server.bucket(name))

    async def now(self) -> float:
        """Return the time of the server's clock."""
        await until_reachable(self._connection)
        return self._connection.server.clock().now()
