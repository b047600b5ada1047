"""The index: the events `stuck` and `failed` lead to sagas with that status, for speed. They never decide anything.

Each saga that an event leads to is read, and counts as its record says. A saga that no event leads to is missed only if
its event is not in the log. That has three causes, and each of them is found out:

- The log has lost it, by `events_ttl` or by hand. Then the log lacks its beginning: the live records that were written
  before its first event are all read. A log with gaps is not used.
- The event is not published yet, and the record was written within the last FRESH seconds: these records are all read.
- The event is not published yet, and has waited for longer. Then its worker says so in its lease, or the lease is old:
  in both cases the index is not used. (The record was written before FRESH seconds ago, and the lease was renewed
  within RENEWED seconds, so it tells of a wait of more than FRESH - RENEWED seconds. WAITS is below that.)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from sagakit.engine.events import decode_event
from sagakit.errors import InvalidId
from sagakit.repository.leases import leases_of
from sagakit.repository.walk import StreamWalk
from sagakit.repository.wanted import Wanted
from sagakit.store.names import SagaKey
from sagakit.store.ports import StoredValue, StoreReading

FRESH = 20.0
"""Seconds for which records are new: each of them is read, whatever the index says."""
RENEWED = 10.0
"""Seconds within which every worker must have renewed its lease."""
WAITS = 5.0
"""Seconds that the oldest event of a worker may have waited."""
HIT = 4
"""Records that are read in the time that it takes to follow one event."""
SUFFIXES = {"stuck": "stuck"}
"""The events that lead to sagas of a status."""


class Index:
    """Finds the values that may have a status."""

    def __init__(self, reading: StoreReading) -> None:
        self._reading = reading

    async def helps(self, wanted: Wanted, limit: int | None, now: float) -> bool:
        """Return True if sagas with this status are found faster by events, and none can be missed.

        `now` is in seconds since the epoch. Raises StoreError.
        """
        patterns = self._patterns(wanted)
        if not patterns:
            return False
        hits = live = 0
        for stream in self._reading.events:
            if (await stream.extent()).has_gaps:
                return False
            hits += sum(await stream.counts(patterns))
        for stream in self._reading.state:
            live += (await stream.extent()).messages
        # a page of sagas with this status takes so many records if they are spread evenly
        records = live if limit is None else min(live, limit * live // max(1, hits))
        return HIT * hits < records and await self._all_is_out(now)

    async def values(self, wanted: Wanted, now: float) -> AsyncGenerator[StoredValue]:
        """Yield the values of the live sagas that may fit, each at least once. Raises StoreError."""
        names, patterns = self._reading.names, self._patterns(wanted)
        keys: set[str] = set()
        began = 0.0
        for log in self._reading.events:
            extent = await log.extent()
            if not extent.is_whole:
                began = max(began, extent.began or now)
            async with aclosing(log.values(patterns)) as pages:
                async for page in pages:
                    keys.update(filter(None, map(_key_of, page)))
        by_shard: list[list[str]] = [[] for _ in self._reading.state]
        for key in keys:
            by_shard[names.shard_of(key)].append(key)
        for stream, some in zip(self._reading.state, by_shard, strict=True):
            for found in await stream.get_each(some):
                if found is not None:
                    yield found
        async with aclosing(self._outside(wanted.patterns or (), began, now)) as others:
            async for value in others:
                yield value

    async def _outside(self, patterns: Sequence[str], began: float, now: float) -> AsyncGenerator[StoredValue]:
        """Yield the values that are older than the log, and those that are new."""
        for stream in self._reading.state:
            if began:
                async with aclosing(stream.values(patterns)) as pages:
                    async for page in pages:
                        for value in page:
                            yield value
                        if page and page[-1].at > began:
                            break
            walk = StreamWalk(stream, patterns, None)
            at = now
            while at > now - FRESH:
                await walk.fill(1000)
                if not walk.values:
                    break
                value = walk.take()
                at = value.at
                yield value

    def _patterns(self, wanted: Wanted) -> Sequence[str]:
        """Return the subjects of the events that lead to what is wanted; none at all if there are no such events."""
        statuses = wanted.statuses
        if statuses is None or not statuses or not statuses <= SUFFIXES.keys():
            return ()
        head = self._reading.names.subject("saga" if self._reading.names.shards == 1 else "saga.*")
        types = wanted.all_types
        return [
            f"{head}.{saga_type}.{SUFFIXES[status]}"
            for status in sorted(statuses)
            for saga_type in (["*"] if types is None else sorted(types))
        ]

    async def _all_is_out(self, now: float) -> bool:
        """Return True if no worker can have an event that has waited for long."""
        async with aclosing(leases_of(self._reading)) as leases:
            async for lease in leases:
                says = lease.says
                if says.handed_back or says.backlog is None or says.backlog > WAITS or lease.at < now - RENEWED:
                    return False
        return True


def _key_of(value: StoredValue) -> str | None:
    event = decode_event(value.value)
    if event is None:
        return None
    try:
        return str(SagaKey(event.type.split(".")[1], event.subject))
    except (IndexError, InvalidId):  # another program may have put it there
        return None
