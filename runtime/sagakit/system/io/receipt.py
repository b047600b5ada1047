"""The receipt of one saga's events: shared by the publisher, which writes it, and the saga's actor, which reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Receipt:
    """The count of one saga's events that are in the log. For tasks of the trio thread."""

    __slots__ = ("_notify", "_target", "at", "confirmed")

    def __init__(self, *, confirmed: int = 0, at: Iterable[int] = ()) -> None:
        self.confirmed: int = confirmed
        """The number of the last event that is in the log; 0 before the first."""
        self.at: list[int] = [*at]
        """The stream sequences of the last of these events, that of `confirmed` comes last."""
        self._target = 0
        self._notify: Callable[[], None] | None = None

    def confirm(self, seq: int, sequence: int) -> None:
        """Note that event `seq`, the one after `confirmed`, is in the log, under this stream sequence."""
        self.confirmed = seq
        self.at.append(sequence)
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
