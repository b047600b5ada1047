"""The sweeper: ends what is overdue, and notices streams that have stopped answering. One timer for all messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sagakit.errors import Ambiguous, StoreError
from sagakit.jetstream.answers import ApiError
from sagakit.jetstream.leaders import Leaders, stream_of
from sagakit.jetstream.pump import Pump

SWEEP = 0.1
"""Seconds between looks for answers that are overdue."""
STILL = 3
"""Sweeps during which the oldest message must stay unanswered before the sweeper looks at all of them."""


class Sweeper:
    """The sweeper of one link's pump."""

    def __init__(
        self,
        pump: Pump,
        ask: Callable[[str, bytes, float], Awaitable[bytes]],
        until_connected: Callable[[], Awaitable[None]],
        refused: Callable[[ApiError, str], StoreError],
    ) -> None:
        self._pump = pump
        self._oldest: tuple[int, int] = (0, 0)
        """The number of the oldest unanswered message, and for how many sweeps it has been that."""
        self.leaders: Leaders = Leaders(ask, until_connected, self._next_number, self._give_up, refused)

    def sweep(self, now: float) -> None:
        """End what is overdue as ambiguous, and what was queued for too long as never sent."""
        overdue = [number for number, out in self._pump.pending.items() if out.deadline <= now]
        self._pump.end(overdue, lambda out: Ambiguous(f"{out.subject}: no answer in time"))
        self._look_for_silence(now)
        self._pump.drop_overdue(now)

    def _look_for_silence(self, now: float) -> None:
        """Look at every message only if the oldest one has not changed for some sweeps, which is rare."""
        pending = self._pump.pending
        number = next(iter(pending), 0)
        sweeps = self._oldest[1] + 1 if number and number == self._oldest[0] else 0
        self._oldest = (number, sweeps)
        owed: dict[str, int] = {}
        if sweeps >= STILL and self._pump.connected:
            for number, out in pending.items():
                stream = stream_of(out.subject)
                if stream is not None:
                    owed.setdefault(stream, number)
        self.leaders.look(owed, now)

    def _next_number(self) -> int:
        return next(reversed(self._pump.pending), 0) + 1

    def _give_up(self, stream: str, next_number: int) -> None:
        """End what the stream was sent before: its leader may have taken that along."""
        pending = self._pump.pending
        owed = [one for one, out in pending.items() if one < next_number and stream_of(out.subject) == stream]
        self._pump.end(owed, lambda out: Ambiguous(f"{out.subject}: its stream had no leader"))
