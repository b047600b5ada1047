"""The server's clock as this process knows it: the process's monotonic clock, plus an offset by the server's answers.

A machine's wall clock may be an hour off, and may be set at any moment, so it decides nothing: two workers would not
agree when a timer is due. What the server says is the same for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from logging import getLogger
from math import inf
from typing import NamedTuple

import trio

from sagakit.errors import Ambiguous, StoreError, Unavailable
from sagakit.jetstream.answers import time_in
from sagakit.jetstream.link import Link
from sagakit.store.names import Names

_log = getLogger("sagakit.clock")

SAMPLES = 5
"""Questions that are asked in a row: the one that is answered fastest says most."""
ANSWERS_WITHIN = 2.0
"""Seconds that one of them may take."""
EVERY = 60.0
"""Seconds between two rows: a monotonic clock drifts by some milliseconds meanwhile."""
LOOK = 1.0
"""Seconds between two looks whether there is a reason to ask sooner."""
AGAIN = 5.0
"""Seconds until the server is asked again that gave no answer."""
JUMP = 0.5
"""Seconds by which wall clock and monotonic clock may part before the server is asked: the wall clock was set, or the
machine was suspended, and its monotonic clock stood still."""
STANDS_STILL = 1.0
"""A correction backward by less is waited out, one by more steps back at once: to wait for an hour would be worse."""
TOLERATED = 1.0
"""Seconds by which this machine's wall clock may differ from the server's before that is told."""


async def server_time(link: Link, names: Names) -> float:
    """Ask the leader of the meta bucket's stream for its time, in seconds since the epoch. Raises StoreError.

    Of the answers that have a `ts` this is the one that every role may ask for (nats-server 2.11.4 to 2.15.1).
    """
    stream = f"KV_{names.meta}"
    answer = await link.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=ANSWERS_WITHIN)
    return time_in(answer, stream, link.refused)


class _Bounds(NamedTuple):
    """The offset lies between: the server looked at its clock after it was asked and before its answer was here."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


class ServerClock:
    """The port `Clock`. `ask` asks the server once; `reconnected_at` as of `Store`; `wall` is this machine's."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[float]],
        *,
        reconnected_at: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ask = ask
        self._reconnected_at = reconnected_at
        self._wall = wall
        self._monotonic = trio.lowlevel.current_clock()
        self._offset = 0.0
        self._latest = -inf
        self._sampled_at = -inf
        self._apart = 0.0
        """Wall clock minus monotonic clock, as of the last sample."""
        self._told = 0.0
        self._set = trio.Event()

    def now(self) -> float:
        """Return the server's time."""
        now = self._monotonic.current_time() + self._offset
        if now < self._latest < now + STANDS_STILL:
            return self._latest
        self._latest = now
        return now

    @property
    def skew(self) -> float:
        """Wall clock minus server's time."""
        return self._wall() - self.now()

    async def until_set(self) -> None:
        """Return when the clock has been corrected."""
        await self._set.wait()

    async def sample(self) -> None:
        """Ask the server, and correct the clock if it must be wrong. Raises StoreError.

        What the answers allow is left as it is: on a busy machine they take long, and say little.
        """
        began = self._monotonic.current_time()
        low, high = min([await self._asked() for _ in range(SAMPLES)], key=lambda bounds: bounds.width)
        self._sampled_at, self._apart = began, self._now_apart()
        if not low <= self._offset <= high:
            self._offset = (low + high) / 2
            told, self._set = self._set, trio.Event()
            told.set()

    async def keep(self) -> None:
        """Ask every minute, after a reconnect, after a jump; tell when the wall clock is off. Until cancelled."""
        while True:
            if self._is_due():
                try:
                    await self.sample()
                except (Unavailable, Ambiguous) as error:  # an outage is told elsewhere
                    _log.debug("the server's time is not known anew: %s", error)
                    await trio.sleep(AGAIN)
                except StoreError as error:
                    _log.warning("the server does not tell its time: %s; sagas go by what was known of it", error)
                    await trio.sleep(AGAIN)
            self._mind_skew()
            await trio.sleep(LOOK)

    async def _asked(self) -> _Bounds:
        asked = self._monotonic.current_time()
        said = await self._ask()
        return _Bounds(said - self._monotonic.current_time(), said - asked)

    def _is_due(self) -> bool:
        since = self._monotonic.current_time() - self._sampled_at
        parted = abs(self._now_apart() - self._apart)
        return since >= EVERY or parted > JUMP or self._reconnected_at() > self._sampled_at

    def _now_apart(self) -> float:
        return self._wall() - self._monotonic.current_time()

    def _mind_skew(self) -> None:
        skew = self.skew
        if abs(skew - self._told) <= TOLERATED:
            return
        self._told = skew
        if abs(skew) > TOLERATED:
            _log.warning(
                "this machine's wall clock is %.1f s %s the NATS server's: sagas go by the server's; set this one",
                abs(skew),
                "ahead of" if skew > 0 else "behind",
                extra={"skew": skew},
            )
        else:
            _log.info("this machine's wall clock agrees with the NATS server's again")
