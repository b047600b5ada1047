"""A log in which the same trouble, of however many sagas and however often, is told once a minute."""

from __future__ import annotations

from logging import Logger

import trio

EVERY = 60.0
"""Seconds between two lines about the same."""
KINDS = 1000
"""Kinds of trouble that are remembered; beyond it the first may come again sooner."""


class Seldom:
    """Writes warnings to one logger. For tasks of the trio thread."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def warning(self, kind: str, text: str) -> None:
        """Write `text`, unless a line of this kind was written within the last minute; those are counted."""
        now = trio.current_time()
        if now - self._told.get(kind, -EVERY) < EVERY:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        if len(self._told) >= KINDS:
            self._told.clear()
            self._untold.clear()
        self._told[kind] = now
        more = self._untold.pop(kind, 0)
        self._log.warning("%s%s", text, f" (and {more:,} more like this since the last line)" if more else "")
