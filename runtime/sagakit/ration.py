"""A ration of log lines: an event that others cause, or that strikes many sagas at once, must not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from logging import Logger

LINES = 20
"""Lines of one kind that are logged in one period."""
PERIOD = 60.0
"""Seconds of one period, which begins with the first line of its kind."""
KINDS = 1_000
"""Kinds that are told apart. With one more, all kinds begin anew, so that memory stays bounded."""


class _Period:
    __slots__ = ("began", "lines")

    def __init__(self, began: float) -> None:
        self.began = began
        self.lines = 0


class Ration:
    """Logs the first `lines` lines of each kind in each PERIOD, and says how many it held back. For one thread."""

    def __init__(self, log: Logger, *, lines: int = LINES, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._lines = lines
        self._now = now
        self._periods: dict[str, _Period] = {}

    def say(
        self,
        level: int,
        text: str,
        *args: object,
        kind: str = "",
        exc_info: BaseException | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Log a line as `Logger.log` does, or count it if its kind has used up the ration."""
        now, period = self._now(), self._periods.get(kind)
        if period is None or now - period.began >= PERIOD:
            more = 0 if period is None else max(0, period.lines - self._lines)
            if more:
                text, args = f"{text} (%d more lines of this kind were not logged before)", (*args, more)
            if len(self._periods) >= KINDS:
                self._periods.clear()
            period = self._periods[kind] = _Period(now)
        period.lines += 1
        if period.lines <= self._lines:
            self._log.log(level, text, *args, exc_info=exc_info, extra=extra, stacklevel=2)
        if period.lines == self._lines > 1:
            self._log.log(level, "further lines of this kind are counted, not logged, for %g s", PERIOD)
