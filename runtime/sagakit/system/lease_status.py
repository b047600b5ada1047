"""How this worker's own lease stands, by its own monotonic clock (docs/architecture.md, "Leases").

No action starts on a lease that is older than its ttl: by then others may have adopted the saga.
"""

from __future__ import annotations

from math import inf

import trio


class LeaseStatus:
    """What the worker knows of its lease. For tasks of the trio thread, `is_good` for any thread; trio's times."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._clock = trio.lowlevel.current_clock()
        self._sent = -inf
        self._held_since = inf
        self._steady_since = inf
        self._good = trio.Event()

    @property
    def is_good(self) -> bool:
        """Whether the last renewal that was acknowledged was sent within the ttl."""
        return self._clock.current_time() - self._sent <= self._ttl

    @property
    def steady_since(self) -> float:
        """Since when each renewal has been acknowledged in time: an observer that is not steady judges nobody."""
        return self._steady_since if self.is_good else inf

    def covers(self, since: float) -> bool:
        """Whether the lease has held without a break from `since` until now."""
        return self._held_since <= since and self.is_good

    def renewed(self, sent: float) -> float:
        """A renewal that was sent at `sent` is acknowledged; return for how many seconds none was, if it had lapsed."""
        now = trio.current_time()
        old = now - self._sent
        if old > self._ttl:
            self._held_since = self._steady_since = now
        self._steady_since = min(self._steady_since, now)
        self._sent = sent
        self._good.set()
        self._good = trio.Event()
        return old if self._ttl < old < inf else 0.0

    def failed(self) -> None:
        """A renewal was not acknowledged in time."""
        self._steady_since = inf

    def given_up(self) -> None:
        """The lease was handed back: no action starts here any more."""
        self._sent = -inf

    async def until_good(self) -> None:
        """Return when the lease is good; at once if it is."""
        await trio.lowlevel.checkpoint()
        while not self.is_good:
            await self._good.wait()
