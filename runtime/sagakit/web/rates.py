"""The numbers of sagas that started, ended or became stuck in each of the last minutes, by the log of events.

To count costs the server a consumer for each outcome and minute, so what was counted of a minute that is over is kept,
for all visitors, and one look counts a few older minutes at the most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, NamedTuple, TypeAlias

from sagakit.store.ports import StoreReading
from sagakit.times import moment_of

OUTCOMES: Sequence[str] = ("started", "completed", "failed", "stuck")
"""The events that are counted."""
MINUTES, AT_ONCE = 30, 3
"""Minutes that are shown, and those of them that one look counts afterwards."""
FRESH = 5.0
"""Seconds for which everybody gets the same numbers."""
Together: TypeAlias = Callable[..., Awaitable[Any]]
"""Runs coroutine functions at the same time, as `Wire.together` does."""
Counts: TypeAlias = Mapping[str, int]


class Minute(NamedTuple):
    """A minute, and what happened in it; None while nobody has counted that."""

    at: datetime | None
    counts: Counts | None


class Rates:
    """The numbers of the last minutes, of one app."""

    def __init__(self) -> None:
        self._over: dict[int, Counts] = {}
        self._present: dict[int, Counts] = {}
        self._looked_at = -inf

    async def look(self, reading: StoreReading, together: Together, now: float) -> Sequence[Minute]:
        """Return the last minutes, the present one first. `now` is the server's time. Raises StoreError."""
        present = int(now) // 60
        if not 0 <= now - self._looked_at < FRESH:
            self._looked_at = now  # already here: whoever looks meanwhile gets the numbers that are there
            try:
                await self._count(reading, together, present)
            except BaseException:  # also if the visitor has left: the next one counts
                self._looked_at = -inf
                raise
        counted = self._present | self._over
        shown = range(present, present - MINUTES, -1)
        return [Minute(moment_of(minute * 60.0), counted.get(minute)) for minute in shown]

    async def _count(self, reading: StoreReading, together: Together, present: int) -> None:
        """Count the present minute, and the latest ones that are over and that nobody has counted."""
        past = range(present - 1, present - MINUTES, -1)
        missing = [minute for minute in past if minute not in self._over][:AT_ONCE]
        since: dict[int, Counts] = {}

        async def count(minute: int) -> None:
            since[minute] = await _counts(reading, minute * 60.0)

        begins = {present, *missing, *(minute + 1 for minute in missing)}
        await together(*(partial(count, minute) for minute in begins))
        self._present = {present: since[present]}
        self._over = {minute: counts for minute, counts in self._over.items() if minute in past}
        self._over |= {minute: _difference(since[minute], since[minute + 1]) for minute in missing}


async def _counts(reading: StoreReading, since: float) -> Counts:
    """Return how many events of each outcome the log has had since a time."""
    names = reading.names
    head = names.subject("saga.*" if names.shards == 1 else "saga.*.*")
    patterns = [f"{head}.{outcome}" for outcome in OUTCOMES]
    found = [await log.counts(patterns, since=since) for log in reading.events]
    return {outcome: sum(numbers) for outcome, *numbers in zip(OUTCOMES, *found, strict=True)}


def _difference(more: Counts, less: Counts) -> Counts:
    """Return the counts of the time between. Both were counted side by side, so the log may have grown in between."""
    return {outcome: max(0, more[outcome] - less[outcome]) for outcome in OUTCOMES}
