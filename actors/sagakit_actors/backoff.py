"""Backoff and restart intensity: pure arithmetic, without a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import random as system_random


class Backoff:
    """Delays that grow with each failure in a row.

    The delay after failure n is `min(max_interval, initial_interval * multiplier ** (n - 1))` seconds. The share
    `jitter` of it is random, between nothing and all of that share:

        backoff = Backoff(initial_interval=0.1, max_interval=10.0, jitter=0.0)
        assert [backoff.delay(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]

    `random` returns a number from 0 to 1; tests pass their own. Raises ValueError if the numbers make no sense.
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
            raise ValueError("a Backoff needs 0 < initial_interval <= max_interval, multiplier >= 1, 0 <= jitter <= 1")
        self.initial_interval: float = initial_interval
        self.max_interval: float = max_interval
        self.multiplier: float = multiplier
        self.jitter: float = jitter
        self.random: Callable[[], float] = random

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after `failures` failures in a row (1, 2, …)."""
        # The exponent stops at 64: 2.0 ** 1024 raises OverflowError, and a child may fail for weeks.
        wait = min(self.max_interval, self.initial_interval * self.multiplier ** min(failures - 1, 64))
        return wait * (1 - self.jitter + self.jitter * self.random())


class Intensity:
    """A limit of `limit` restarts within any `period` seconds:

        window = Intensity(2, 10.0)
        assert [window.allows(now) for now in (0.0, 1.0, 2.0, 13.0)] == [True, True, False, True]

    Source: OTP's supervisor, `add_restart`.
    """

    __slots__ = ("_times", "limit", "period")

    def __init__(self, limit: int, period: float) -> None:
        if limit < 0 or period <= 0:
            raise ValueError("an Intensity needs limit >= 0 and period > 0")
        self.limit: int = limit
        self.period: float = period
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at `now`, in seconds; return False when it is one too many.

        A restart exactly `period` seconds ago still counts, as in OTP.
        """
        while self._times and self._times[0] < now - self.period:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) <= self.limit
