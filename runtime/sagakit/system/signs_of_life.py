"""The signs of life of participants: the time of the last heartbeat of each attempt that is minded.

The times are in memory only, so a heartbeat that is noted here costs no write and wakes no saga. They are lost with the
worker: the next owner counts the silence of an attempt from the adoption on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import trio

from sagakit.engine import Inbound, MindSilence, Unanswered
from sagakit.engine.record import NOTHING

GRAIN = 0.001
"""Seconds by which a silence may end early: timers are set in seconds since the epoch, whose rounding is below this."""


class _Sign:
    """The last sign of life of one attempt. `heard` is its trio time. `minded` is False once the attempt is over."""

    __slots__ = ("heard", "minded", "run", "watch")

    def __init__(self, watch: MindSilence, run: str, heard: float) -> None:
        self.watch = watch
        self.run = run
        self.heard = heard
        self.minded = True


class SignsOfLife:
    """The signs of life in the attempts of this worker's sagas, active or passivated. For tasks of the trio thread.

    `steady_since` returns the trio time since which heartbeats could come without a break, and infinity while they
    cannot come: in an outage a participant is not silent by its own fault. `is_ours_since` takes a trio time, and
    returns False if another worker may have adopted a saga since then.
    """

    def __init__(self, steady_since: Callable[[], float], is_ours_since: Callable[[float], bool]) -> None:
        self._steady_since = steady_since
        self._is_ours_since = is_ours_since
        self._seen_at: dict[str, float] = {}
        """Trio time, by key, at which a saga was last seen to be this worker's."""
        self._signs: dict[str, dict[str, _Sign]] = {}

    def mind(self, key: str, run: str, asked: Sequence[MindSilence], *, seen_at: float) -> None:
        """Mind the attempts `asked` of the saga under `key`, and no others. The silence of a new one begins now.

        `seen_at` is the trio time at which the saga was last seen to be this worker's.
        """
        signs = self._signs.get(key)
        if signs is None:
            if not asked:
                return
            signs = self._signs[key] = {}
        self._seen_at[key] = seen_at
        for sign in signs.values():
            sign.minded = False
        for watch in asked:
            known = signs.get(watch.key)
            if known is None or known.watch.attempt != watch.attempt or known.run != run:
                signs[watch.key] = _Sign(watch, run, trio.current_time())
            else:
                known.watch, known.minded = watch, True

    def seen(self, key: str, at: float) -> None:
        """Note that a saga was seen to be this worker's at the trio time `at`."""
        if key in self._signs:
            self._seen_at[key] = at

    def heard(self, key: str, message: Inbound) -> bool:
        """Note a heartbeat. Return True if the saga need not hear of it, since its record would not change.

        The saga has to hear of the first heartbeat of an attempt, of one that says how far the work has come, and of
        one whose attempt is not known here. If another worker may have adopted the saga, that worker has to hear of
        each.
        """
        sign = self._signs.get(key, {}).get(message.key)
        if sign is None or sign.run != message.run or message.attempt > sign.watch.attempt:
            return False
        is_known = message.attempt < sign.watch.attempt
        if not is_known:
            sign.heard = trio.current_time()
            is_known = message.payload is NOTHING
        return is_known and self._is_ours_since(self._seen_at[key])

    def left(self, key: str) -> float:
        """Return the seconds until an attempt of a saga has been silent for too long.

        They are 0 or less once one has, and infinite if no attempt is minded.
        """
        signs = self._signs.get(key)
        if signs is None:
            return inf
        steady = self._steady()
        return min((_left(sign, steady) for sign in signs.values() if sign.minded), default=inf)

    def silent(self, key: str) -> list[Unanswered]:
        """Return the attempts of a saga that have been silent for too long."""
        steady = self._steady()
        return [
            Unanswered(sign.watch.step, sign.watch.attempt, silent=True)
            for sign in self._signs.get(key, {}).values()
            if sign.minded and _left(sign, steady) <= 0
        ]

    def forget(self, key: str) -> None:
        """Forget a saga that has left this worker."""
        self._signs.pop(key, None)
        self._seen_at.pop(key, None)

    def _steady(self) -> float:
        return min(self._steady_since(), trio.current_time())


def _left(sign: _Sign, steady: float) -> float:
    return max(sign.heard, steady) + sign.watch.heartbeat - trio.current_time() - GRAIN
