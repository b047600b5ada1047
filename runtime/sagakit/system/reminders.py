"""What one saga has the timers actor remind it of: its next due time, and that it may have a rest."""

from __future__ import annotations

from sagakit_actors import Ref

from sagakit.system.messages import Rest, SagaMessage, SetTimer, TimersMessage, Wake


class Reminders:
    """Belongs to one incarnation of a saga's actor. Times in seconds since the epoch."""

    __slots__ = ("_ref", "_timers", "_wake_at", "rest_at")

    def __init__(self, timers: Ref[TimersMessage], ref: Ref[SagaMessage]) -> None:
        self._timers = timers
        self._ref = ref
        self._wake_at: float | None = None
        self.rest_at: float | None = None
        """When the saga will be told to rest; None if it has not asked for that, or has been busy since."""

    def wake(self, at: float) -> None:
        """Send `Wake` at this time; once, however often it is asked for."""
        if self._wake_at != at:
            self._wake_at = at
            self._timers.tell_nowait(SetTimer(self._ref, at, Wake()))

    def woken(self) -> None:
        """`Wake` has come."""
        self._wake_at = None

    def rest(self, at: float) -> None:
        """Send `Rest` at this time."""
        self.rest_at = at
        self._timers.tell_nowait(SetTimer(self._ref, at, Rest()))

    def again(self) -> None:
        """The timers actor was lost, and with it what it was to remind of."""
        if self._wake_at is not None:
            self._timers.tell_nowait(SetTimer(self._ref, self._wake_at, Wake()))
        if self.rest_at is not None:
            self._timers.tell_nowait(SetTimer(self._ref, self.rest_at, Rest()))
