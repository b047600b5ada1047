"""The slot into which the answer to an ask is put, once."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

import trio

R = TypeVar("R")


class Reply(Generic[R]):
    """Travels inside a message. The first of `send` and `fail` wins; later ones return False and change nothing.

    For any code in the trio thread, also after the target's handler has returned.
    """

    __slots__ = ("_error", "_unanswered", "_value", "_waiter", "settled")

    def __init__(self, unanswered: dict[Reply[Any], None]) -> None:
        self._unanswered = unanswered
        """Where the target keeps what it has taken and not answered."""
        self.settled: bool = False
        """Whether it was answered, or given up by the one who asked."""
        self._value: R | None = None
        self._error: Exception | None = None
        self._waiter: trio.lowlevel.Task | None = None

    def send(self, value: R) -> bool:
        """Answer."""
        return self._settle(value, None)

    def fail(self, error: Exception) -> bool:
        """Answer with an error, raised where the ask was made."""
        return self._settle(None, error)

    def _settle(self, value: R | None, error: Exception | None) -> bool:
        if self.settled:
            return False
        self.settled, self._value, self._error = True, value, error
        self._unanswered.pop(self, None)
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter)
            self._waiter = None
        return True

    async def wait(self) -> R:
        """For the one who asked. Cancelled, the slot counts as answered."""
        if not self.settled:
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        else:
            await trio.lowlevel.checkpoint()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback knows this frame
        return cast(R, self._value)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._waiter = None
        self.abandon()
        return trio.lowlevel.Abort.SUCCEEDED

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._settle(None, None)
