"""What one saga has the timers actor remind it of: its next due time, and that it may have a rest."""

from __future__ import annotations

from sagakit_actors import Ref

from sagakit.system.messages import Passivate, SagaMessage, SetTimer, TimersMessage, Wake


class Reminders:
    """Belongs to one incarnation of a saga's actor. Times in seconds since the epoch."""

    __slots__ = ("_ref", "_set", "_timers", "_wake_at", "rest_at")

    def __init__(self, timers: Ref[TimersMessage], ref: Ref[SagaMessage]) -> None:
        self._timers = timers
        self._ref = ref
        self._wake_at: float | None = None
        self._set: list[float] = []
        """What the timers actor was told and has not done yet: a later time need not be told beside an earlier one."""
        self.rest_at: float | None = None
        """When the saga will be told to rest; None if it has not asked for that, or has been busy since."""

    def wake(self, at: float) -> None:
        """Send `Wake` at this time; once, however often it is asked for. One that comes earlier is followed by it."""
        self._wake_at = at
        if not self._set or at < min(self._set):
            self._set.append(at)
            self._timers.tell_nowait(SetTimer(self._ref, at, Wake(at)))

    def woken(self, wake: Wake, now: float) -> None:
        """One has come, from the timers actor or from elsewhere."""
        if wake.set_for in self._set:
            self._set.remove(wake.set_for)
        at, self._wake_at = self._wake_at, None
        if at is not None and at > now:
            self.wake(at)

    def rest(self, at: float) -> None:
        """Send `Rest` at this time."""
        self.rest_at = at
        self._timers.tell_nowait(SetTimer(self._ref, at, Passivate()))

    def again(self) -> None:
        """The timers actor was lost, and with it what it was to remind of."""
        self._set.clear()
        if self._wake_at is not None:
            self.wake(self._wake_at)
        if self.rest_at is not None:
            self._timers.tell_nowait(SetTimer(self._ref, self.rest_at, Passivate()))
