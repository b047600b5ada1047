"""The receipt of one saga's events: shared by the publisher, which writes it, and the saga's actor, which reads it."""

from __future__ import annotations

from collections.abc import Callable


class Receipt:
    """The count of one saga's events that are in the log. For tasks of the trio thread."""

    __slots__ = ("_notify", "_target", "confirmed")

    def __init__(self, *, confirmed: int = 0) -> None:
        self.confirmed: int = confirmed
        """The number of the last event that is in the log; 0 before the first."""
        self._target = 0
        self._notify: Callable[[], None] | None = None

    def confirm(self, seq: int) -> None:
        """Note that the events up to `seq` are in the log."""
        self.confirmed = seq
        if self._notify is not None and seq >= self._target:
            self._call()

    def when_reached(self, seq: int, notify: Callable[[], None]) -> None:
        """Call `notify` once, when event `seq` is in the log; at once if it is. This replaces an earlier request."""
        self._target, self._notify = seq, notify
        if self.confirmed >= seq:
            self._call()

    def _call(self) -> None:
        notify, self._notify = self._notify, None
        assert notify is not None
        notify()
