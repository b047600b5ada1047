"""Counts: how many sagas there are, by type and status, without reading them where that is possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing

import msgspec

from sagakit.engine import ENDS
from sagakit.repository.leases import leases_of
from sagakit.repository.wanted import Wanted
from sagakit.store.ports import StoreReading


class SagaCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of sagas, by type and status."""

    counts: Mapping[tuple[str, str], int]
    """Number of sagas of each type and status; a pair without sagas is left out."""
    exact: bool
    """True if the records were read.

    Otherwise the numbers are those that the workers have last told of their sagas, and those of archive and log. They
    are about right, as long as no worker has died a moment ago and the log has kept its events."""
    as_of: float
    """Seconds from the epoch to the oldest of the numbers."""


class Counting:
    """Counts without reading records."""

    def __init__(self, reading: StoreReading) -> None:
        self._reading = reading

    async def messages(self, *, ended: bool) -> int:
        """Return how many values would have to be read to count exactly. Raises StoreError."""
        streams = [*self._reading.state, *(self._reading.archive if ended else ())]
        return sum([(await stream.extent()).messages for stream in streams])

    async def quick(self, wanted: Wanted, now: float) -> SagaCounts | None:
        """Return the numbers that are told; None if they cannot be had so. Raises StoreError.

        Workers of older releases do not count their sagas, and only types and statuses are counted.
        """
        if not wanted.asks_for_types_only:
            return None
        counts: Counter[tuple[str, str]] = Counter()
        types: set[str] = set()
        as_of = now
        async with aclosing(leases_of(self._reading)) as leases:
            async for lease in leases:
                if lease.says.handed_back:
                    continue
                if lease.says.counts is None:
                    return None
                as_of = min(as_of, lease.at)
                types.update(lease.says.definitions)
                for saga_type, numbers in lease.says.counts.items():
                    counts.update({(saga_type, status): number for status, number in numbers.items()})
        if wanted.ended:
            counts += await self._archived(types)
        return SagaCounts(counts=_of(counts, wanted), exact=False, as_of=as_of)

    async def _archived(self, types: set[str]) -> Counter[tuple[str, str]]:
        """Count the archive by type. The log tells how many of them have failed."""
        names, found = self._reading.names, Counter[tuple[str, str]]()
        head = names.subject("saga" if names.shards == 1 else "saga.*")
        for log in self._reading.events:
            for subject in await log.subjects(f"{head}.*.started"):
                types.add(subject.split(".")[-2])
        ordered = sorted(types)
        failed_subjects = [f"{head}.{saga_type}.failed" for saga_type in ordered]
        for archive, log in zip(self._reading.archive, self._reading.events, strict=True):
            began = (await archive.extent()).began
            totals = await archive.counts([f"{saga_type}.>" for saga_type in ordered])
            failures = await log.counts(failed_subjects, since=began)
            for saga_type, total, failed in zip(ordered, totals, failures, strict=True):
                some = min(total, failed)
                found.update({(saga_type, "failed"): some, (saga_type, "completed"): total - some})
        return found


def _of(counts: Counter[tuple[str, str]], wanted: Wanted) -> Mapping[tuple[str, str], int]:
    """Return the counts that are wanted."""
    types, statuses = wanted.all_types, wanted.statuses
    return {
        (saga_type, status): number
        for (saga_type, status), number in sorted(counts.items())
        if number
        and (types is None or saga_type in types)
        and (statuses is None or status in statuses)
        and (wanted.ended if status in ENDS else wanted.live)
    }
