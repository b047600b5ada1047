"""A ration of log lines: what others cause, however often, must not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import Logger

LINES = 20
"""Lines that are logged in one period."""
PERIOD = 60.0
"""Seconds."""


class Ration:
    """Logs the first LINES lines of each PERIOD, and says how many it held back. For one kind of line."""

    def __init__(self, log: Logger, *, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._began = now()
        self._lines = 0

    def say(self, level: int, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log it as `Logger.log` does, or count it."""
        now = self._now()
        if now - self._began >= PERIOD:
            if self._lines > LINES:
                self._log.log(level, "%d more lines of this kind were not logged", self._lines - LINES)
            self._began, self._lines = now, 0
        self._lines += 1
        if self._lines <= LINES:
            self._log.log(level, text, *args, exc_info=exc_info, stacklevel=2)
        if self._lines == LINES:
            self._log.log(level, "further lines of this kind are counted, not logged, for %g s", PERIOD)
