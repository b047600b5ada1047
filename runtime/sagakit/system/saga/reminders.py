"""The reminders of one saga: the timers actor wakes it at its next due time, and tells it when it may be passivated."""

from __future__ import annotations

from sagakit_actors import Ref

from sagakit.system.saga.saga_messages import Passivate, SagaMessage, Wake
from sagakit.system.timers import SetTimer, TimersMessage


class Reminders:
    """Sets timers. Belongs to one incarnation of a saga's actor. Times are in seconds since the epoch."""

    __slots__ = ("_ref", "_set", "_timers", "_wake_at", "passivate_at")

    def __init__(self, timers: Ref[TimersMessage], ref: Ref[SagaMessage]) -> None:
        self._timers = timers
        self._ref = ref
        self._wake_at: float | None = None
        self._set: list[float] = []
        """Times that the timers actor was told and that have not come."""
        self.passivate_at: float | None = None
        """Time at which the saga is told to passivate, as it has asked last; None if it has not asked for that."""

    def wake(self, at: float) -> None:
        """Have `Wake` sent at this time, once, however often this is called. It replaces the time of the last call."""
        self._wake_at = at
        # a later time is not told: when the earlier timer comes, `woken` sets the next one. So a saga has few entries
        # in the heap, however often its due time moves
        if not self._set or at < min(self._set):
            self._set.append(at)
            self._timers.tell_nowait(SetTimer(self._ref, at, Wake(at)))

    def woken(self, wake: Wake, now: float) -> None:
        """Take a `Wake`, from the timers actor or from elsewhere. If it came before the due time, set a timer again."""
        if wake.set_for in self._set:
            self._set.remove(wake.set_for)
        at, self._wake_at = self._wake_at, None
        if at is not None and at > now:
            self.wake(at)

    def passivate(self, at: float) -> None:
        """Have `Passivate` sent at this time."""
        self.passivate_at = at
        self._timers.tell_nowait(SetTimer(self._ref, at, Passivate()))

    def again(self) -> None:
        """Set all timers again: the timers actor was lost, and its memory with it."""
        self._set.clear()
        if self._wake_at is not None:
            self.wake(self._wake_at)
        if self.passivate_at is not None:
            self._timers.tell_nowait(SetTimer(self._ref, self.passivate_at, Passivate()))
