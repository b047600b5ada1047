"""The status of this worker's own lease, by its own monotonic clock (docs/architecture.md, "Leases").

No action starts on a lease that is older than its ttl: by then another worker may have adopted the saga.
"""

from __future__ import annotations

from math import inf

import trio


class LeaseStatus:
    """The age of the lease, and since when it has been renewed without a break. Times are trio's.

    For tasks of the trio thread; `is_good` and `age` for any thread.
    """

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._clock = trio.lowlevel.current_clock()
        self._sent = -inf
        """Time at which the last acknowledged renewal was sent."""
        self._held_since = inf
        """Time since which the lease has never been older than ttl."""
        self._steady_since = inf
        """Time since which every renewal has been acknowledged in time; infinite after one that was not."""
        self._good = trio.Event()

    @property
    def is_good(self) -> bool:
        """True if the last acknowledged renewal was sent no longer than ttl ago."""
        return self._clock.current_time() - self._sent <= self._ttl

    @property
    def age(self) -> float:
        """Seconds since the last acknowledged renewal was sent; infinite if there is none, or the lease is given up."""
        return self._clock.current_time() - self._sent

    @property
    def steady_since(self) -> float:
        """Time since which every renewal has been acknowledged in time; infinite if the last one was not.

        A worker that cannot reach NATS never declares another worker dead.
        """
        return self._steady_since if self.is_good else inf

    def covers(self, since: float) -> bool:
        """Return True if the lease has held without a break from `since` until now."""
        return self._held_since <= since and self.is_good

    def renewed(self, sent: float) -> float:
        """Note that a renewal which was sent at `sent` is acknowledged.

        Return the seconds since the renewal before it was sent if the lease had lapsed, else 0.
        """
        now = trio.current_time()
        old = now - self._sent
        if old > self._ttl:
            # until now another worker could adopt this one's sagas: only what is seen from now on shows who owns them
            self._held_since = self._steady_since = now
        self._steady_since = min(self._steady_since, now)
        self._sent = sent
        self._good.set()
        self._good = trio.Event()
        return old if self._ttl < old < inf else 0.0

    def failed(self) -> None:
        """Note that a renewal was not acknowledged in time. The lease itself is good until its ttl is over."""
        self._steady_since = inf

    def given_up(self) -> None:
        """Note that the lease is handed back: no action starts here any more."""
        self._sent = -inf

    async def until_good(self) -> None:
        """Wait until the lease is good; return at once if it is."""
        await trio.lowlevel.checkpoint()
        while not self.is_good:
            await self._good.wait()
