"""`SagaRepository`: the one door to stored sagas, for runtimes, clients and tools.

Its methods are coroutine functions that await nothing but a `StoreReading`, so they serve asyncio and trio alike. They
change nothing. What they return was true when it was read: see docs/architecture.md, "Reading pages".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from math import inf

import msgspec

from sagakit.engine import Loaded, Record, decode
from sagakit.errors import UNREADABLE, Undecodable
from sagakit.repository.cursors import check_limit, cursor_of, sequences_of
from sagakit.repository.filters import STATUSES
from sagakit.repository.listing import Page, Records, UnreadableRecord
from sagakit.repository.walk import StreamWalk, Walk
from sagakit.repository.wanted import Wanted
from sagakit.store.ports import StoredValue, StoreReading, StreamReading

READ_AT_MOST = 10_000
"""Values that one page reads, at most."""
LIVE_AT_MOST = 1_000
"""Live records that a page of ended sagas looks at, of each shard, before it prefers the archive: records of sagas that
have just ended are among the newest."""


class SagaRepository:
    """Reads the stored sagas. For the tasks that the `StoreReading` is for."""

    def __init__(self, reading: StoreReading) -> None:
        self._reading = reading

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
        found = _Found(wanted)
        if limit is None and cursor is None:
            await self._read_all(streams, patterns, found)
            return found.newest_first(as_of)
        patience = inf if wanted.reads_live else LIVE_AT_MOST
        lanes = [
            StreamWalk(stream, patterns, place, patience=patience if stream in self._reading.state else inf)
            for stream, place in zip(streams, places, strict=True)
        ]
        walk = Walk(lanes, want=MOST_AT_FIRST if limit is None else limit)
        most = inf if limit is None else limit
        while len(found.records) < most and found.read < (inf if limit is None else READ_AT_MOST):
            value = await walk.next()
            if value is None:
                break
            found.add(value)
        left = any(place != 0 for place in walk.places)
        return found.in_order(as_of, cursor_of(wanted, walk.places) if left else None)

    def _streams(self, wanted: Wanted) -> Sequence[StreamReading]:
        """Return the streams to read.

        A saga that ends moves from the live records to the archive, and for a moment it is in both, never in neither.
        The live records come first, so that a saga which moves meanwhile is found in at least one of them.
        """
        return [*self._reading.state, *(self._reading.archive if wanted.ended else ())]

    async def _read_all(self, streams: Sequence[StreamReading], patterns: Sequence[str], found: _Found) -> None:
        for stream in streams:
            async with aclosing(stream.values(patterns)) as pages:
                async for page in pages:
                    for value in page:
                        found.replace(value)


MOST_AT_FIRST = 500
"""Values that the first windows are asked for if all that are left are wanted."""


class _Glance(msgspec.Struct):
    """The fields that are read of every value before a few are decoded. `ended` is set in an end marker."""

    status: str | None = None
    ended: float | None = None


_glance = msgspec.json.Decoder(_Glance)


class _Found:
    """The records found so far, by key, and the keys whose values cannot be read."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._skipped = frozenset(STATUSES) - wanted.statuses if wanted.statuses is not None else frozenset()
        self.records: dict[str, Record] = {}
        self.unreadable: dict[str, UnreadableRecord] = {}
        self._at: dict[str, float] = {}
        self.read: int = 0

    def add(self, value: StoredValue) -> None:
        """Take a value that is older than those before: a saga in the archive, too, shows as it was first met."""
        if value.key in self.records:
            self.read += 1
        else:
            self.replace(value)

    def replace(self, value: StoredValue) -> None:
        """Take a value that may be newer than one that came before: it counts, also if it fits no longer."""
        self.read += 1
        key = value.key
        if key in self.records and value.at < self._at[key]:
            return
        self.records.pop(key, None)
        if self._is_of_no_use(value):
            return
        try:
            loaded = decode(key, value.value)
        except Undecodable as error:
            self.unreadable.setdefault(key, UnreadableRecord(key, error.found))
            return
        if isinstance(loaded, Loaded) and self._wanted.fits(loaded.record):
            self.records[key] = loaded.record
            self._at[key] = value.at

    def _is_of_no_use(self, value: StoredValue) -> bool:
        try:
            seen = _glance.decode(value.value)
        except UNREADABLE:
            return False
        return seen.ended is not None or seen.status in self._skipped

    def newest_first(self, as_of: float) -> Records:
        """Return the records by the time of their last write."""
        records = sorted(self.records.items(), key=lambda item: self._at[item[0]], reverse=True)
        return Records([record for _, record in records], list(self.unreadable.values()), None, self.read, as_of)

    def in_order(self, as_of: float, cursor: str | None) -> Records:
        """Return the records as they came."""
        return Records(list(self.records.values()), list(self.unreadable.values()), cursor, self.read, as_of)
