"""`SagaRepository`: the one door to stored sagas, for runtimes, clients and tools.

Its methods are coroutine functions that await nothing but a `StoreReading`, so they serve asyncio and trio alike. They
change nothing. What they return was true when it was read: see docs/architecture.md, "Reading pages".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from math import inf

import msgspec

from sagakit.engine import Loaded, Record, decode
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.engine.replay import Replayed
from sagakit.errors import UnknownSaga
from sagakit.repository.counting import Counting, SagaCounts
from sagakit.repository.cursors import check_limit, cursor_of, sequences_of
from sagakit.repository.filters import All, Comparison, Filter
from sagakit.repository.found import FoundRecords
from sagakit.repository.groups import StuckGroup, grouped
from sagakit.repository.index import Index
from sagakit.repository.leases import LeaseAt, leases_of
from sagakit.repository.listing import History, Page, Records
from sagakit.repository.saga_events import events_of, last_events_of
from sagakit.repository.verifying import Verification, verify
from sagakit.repository.walk import StreamWalk, Walk
from sagakit.repository.wanted import Wanted
from sagakit.store.ports import StoreReading, StreamReading

READ_AT_MOST = 10_000
"""Values that one page reads, at most."""
ALL_AT_ONCE = 500
"""Values that the first windows are asked for if all that are left are wanted."""
FEW = 10_000
"""Values that are read rather than told."""
STUCK = Comparison("status", "=", "stuck")
LIVE_AT_MOST = 1_000
"""Live records that a page of ended sagas looks at, of each shard, before it prefers the archive: records of sagas that
have just ended are among the newest."""
LOOKED_THROUGH = 1_000
"""Acts of operators that are looked through for those of one."""


class SagaRepository:
    """Reads the stored sagas. For the tasks that the `StoreReading` is for."""

    def __init__(self, reading: StoreReading) -> None:
        self._reading = reading
        self._index = Index(reading)
        self._counting = Counting(reading)

    async def get(self, key: str) -> Record:
        """Return the last record of a saga, from the leader: the live one, or else the one in the archive.

        Raises UnknownSaga, Undecodable, StoreError.
        """
        shard = self._reading.names.shard_of(key)
        for stream in (self._reading.state[shard], self._reading.archive[shard]):
            value = await stream.get(key)
            loaded = None if value is None else decode(key, value.value)
            if isinstance(loaded, Loaded):
                return loaded.record
        raise UnknownSaga(f"no saga is stored under {key}")

    async def history(self, record: Record) -> History:
        """Return the events of a record's run, in order, each once, for as long as the log keeps them.

        Raises StoreError.
        """
        return History(record, await events_of(self._reading, record))

    async def last_events(self, record: Record) -> Sequence[CloudEvent]:
        """Return the first event of a record's run and its last hundred, in order, however many there are.

        Raises StoreError.
        """
        return await last_events_of(self._reading, record)

    async def replay(self, key: str) -> Sequence[Replayed]:
        """Return the states of a saga, event by event, as `History.replay` yields them.

        Raises UnknownSaga, Undecodable, StoreError.
        """
        return [*(await self.history(await self.get(key))).replay()]

    async def list(self, wanted: Wanted, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """Return the sagas that fit, the one that was written last comes first.

        With a `limit`, a page of so many sagas at the most; without one, all of them. Raises InvalidInput, StoreError.
        """
        return (await self.records(wanted, limit=limit, cursor=cursor)).page()

    async def records(self, wanted: Wanted, *, limit: int | None = None, cursor: str | None = None) -> Records:
        """Return the records that fit, as `list` does."""
        check_limit(limit)
        streams = self._streams(wanted)
        places = sequences_of(cursor, wanted, len(streams))
        as_of = await self._reading.now()
        patterns = wanted.patterns
        if patterns is None:
            return Records([], as_of=as_of)
        if not wanted.ended and await self._index.helps(wanted, limit, as_of):
            return await self._by_index(wanted, limit, places, as_of)
        if limit is None and cursor is None:
            return await self._all(streams, wanted, as_of)
        return await self._page(streams, places, wanted, limit, as_of)

    async def count(self, wanted: Wanted, *, exact: bool = False, few: int = FEW) -> SagaCounts:
        """Return how many sagas fit, by type and status. Raises StoreError.

        Where more than `few` records would have to be read, and only types and statuses are asked for, the numbers come
        from the leases and the log; with `exact` the records are read in any case.
        """
        now = await self._reading.now()
        if not exact and await self._counting.messages(ended=wanted.ended) > few:
            told = await self._counting.quick(wanted, now)
            if told is not None:
                return told
        found = await self.records(wanted)
        numbers = Counter((record.saga_type, str(record.status)) for record in found.records)
        return SagaCounts(counts=dict(sorted(numbers.items())), exact=True, as_of=found.as_of)

    async def verify(self, *, archive_ttl: float | None, deep: bool = False) -> Verification:
        """Compare records, archive and events of all sagas, and change nothing; `deep` compares values, too.

        `archive_ttl` is how long the archive keeps what has ended, in seconds; None is forever. Memory holds what is
        stored and told of each saga. Raises StoreError.
        """
        return await verify(self._reading, archive_ttl=archive_ttl, deep=deep)

    async def groups(self, wanted: Wanted) -> Sequence[StuckGroup]:
        """Return the stuck sagas that fit, by type, step and error, the largest group first. Raises StoreError."""
        stuck = msgspec.structs.replace(wanted, where=Filter(All((STUCK, wanted.where.condition))), ended=False)
        return grouped((await self.records(stuck)).records)

    async def leases(self) -> Sequence[LeaseAt]:
        """Return the leases of the workers, by worker id, without those that were handed back. Raises StoreError."""
        async with aclosing(leases_of(self._reading)) as leases:
            found = [lease async for lease in leases if not lease.says.handed_back]
        return sorted(found, key=lambda lease: lease.says.worker)

    async def operator_acts(self, limit: int, *, by: str = "") -> Sequence[CloudEvent]:
        """Return the events of the verbs that operators gave, newest first: so many at the most. Raises StoreError.

        With `by` those of one operator, among the last LOOKED_THROUGH.
        """
        pattern = self._reading.names.subject("saga.*" if self._reading.names.shards == 1 else "saga.*.*")
        lanes = [StreamWalk(stream, [f"{pattern}.operator.*"], None) for stream in self._reading.events]
        most = max(limit, LOOKED_THROUGH) if by else limit
        walk, seen = Walk(lanes, want=most), dict[str, CloudEvent]()
        while len(seen) < most and (value := await walk.next()) is not None:
            event = decode_event(value.value)
            if event is not None:
                seen.setdefault(event.id, event)  # after a crash an event may be stored twice
        return [event for event in seen.values() if not by or event.data.get("by") == by][:limit]

    def _streams(self, wanted: Wanted) -> Sequence[StreamReading]:
        """Return the streams to read.

        A saga that ends moves from the live records to the archive, and for a moment it is in both, never in neither.
        The live records come first, so that a saga which moves meanwhile is found in at least one of them.
        """
        return [*self._reading.state, *(self._reading.archive if wanted.ended else ())]

    async def _all(self, streams: Sequence[StreamReading], wanted: Wanted, as_of: float) -> Records:
        found = FoundRecords(wanted)
        for stream in streams:
            async with aclosing(stream.values(wanted.patterns or ())) as pages:
                async for page in pages:
                    for value in page:
                        found.replace(value)
        return found.newest_first(as_of)

    async def _page(
        self,
        streams: Sequence[StreamReading],
        places: Sequence[int | None],
        wanted: Wanted,
        limit: int | None,
        as_of: float,
    ) -> Records:
        found = FoundRecords(wanted)
        patience = inf if wanted.reads_live else LIVE_AT_MOST
        walks = [
            StreamWalk(
                stream, wanted.patterns or (), place, patience=patience if stream in self._reading.state else inf
            )
            for stream, place in zip(streams, places, strict=True)
        ]
        walk = Walk(walks, want=ALL_AT_ONCE if limit is None else limit)
        while limit is None or (len(found.records) < limit and found.read < READ_AT_MOST):
            value = await walk.next()
            if value is None:
                break
            found.add(value)
        left = any(place != 0 for place in walk.places)
        return found.in_order(as_of, cursor_of(wanted, walk.places) if left else None)

    async def _by_index(self, wanted: Wanted, limit: int | None, places: Sequence[int | None], as_of: float) -> Records:
        found, shard_of = FoundRecords(wanted), self._reading.names.shard_of
        async with aclosing(self._index.values(wanted, as_of)) as values:
            async for value in values:
                place = places[shard_of(value.key)]
                if place is None or value.sequence <= place:
                    found.replace(value)
                else:  # it was shown, or it has been written since, and is at the front now
                    found.drop(value.key)
        left = found.cut(limit)
        below = [max([sequence for key, sequence in left if shard_of(key) == n], default=0) for n in range(len(places))]
        return found.newest_first(as_of, cursor_of(wanted, below) if left else None)
