"""The absences: the sagas that were looked for a moment ago and are not stored."""

from __future__ import annotations

import trio

KNOWN_FOR = 0.5
"""Seconds for which a look that found nothing counts. A parked message waits for at least as long between two tries."""


class Absences:
    """The keys of sagas that a look has not found, each for KNOWN_FOR seconds. For tasks of one trio thread.

    In a flood of messages to sagas that do not exist, most of the work would be looks: two reads each.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        """The trio time until which a look counts, by key; the oldest look is first."""

    def note(self, key: str) -> None:
        """Note that a look has found nothing under a key."""
        now = trio.current_time()
        self._until.pop(key, None)
        self._until[key] = now + KNOWN_FOR
        while self._until[oldest := next(iter(self._until))] <= now:
            del self._until[oldest]

    def has(self, key: str) -> bool:
        """Return True if a look has found nothing under a key a moment ago."""
        return self._until.get(key, 0.0) > trio.current_time()
