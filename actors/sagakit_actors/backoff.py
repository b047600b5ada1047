"""How long to wait before the next try, and how many tries are too many. Pure: no clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import random as system_random


class Backoff:
    """`min(most, first * factor ** (n - 1))` seconds before try n+1, of which the share `jitter` is random.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (equal jitter is `jitter=0.5`).
    """

    __slots__ = ("initial_interval", "jitter", "max_interval", "multiplier", "random")

    def __init__(
        self,
        *,
        initial_interval: float,
        max_interval: float,
        multiplier: float = 2.0,
        jitter: float = 0.5,
        random: Callable[[], float] = system_random,
    ) -> None:
        if not (0 < initial_interval <= max_interval and multiplier >= 1 and 0 <= jitter <= 1):
            raise ValueError("backoff needs 0 < first <= most, factor >= 1 and jitter in 0..1")
        self.initial_interval: float = initial_interval
        self.max_interval: float = max_interval
        self.multiplier: float = multiplier
        self.jitter: float = jitter
        self.random: Callable[[], float] = random

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (1, 2, ...)."""
        wait = min(self.max_interval, self.initial_interval * self.multiplier ** min(failures - 1, 64))
        return wait * (1 - self.jitter + self.jitter * self.random())


class Intensity:
    """At most `limit` restarts within `period` seconds. Source: OTP's supervisor, `add_restart`."""

    __slots__ = ("_times", "limit", "period")

    def __init__(self, limit: int, period: float) -> None:
        if limit < 0 or period <= 0:
            raise ValueError("intensity needs limit >= 0 and period > 0")
        self.limit: int = limit
        self.period: float = period
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at `now`; False when that is one too many. Those with `t >= now - period` still count."""
        while self._times and self._times[0] < now - self.period:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) <= self.limit
