"""The slot for the answer to an ask."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import trio

R = TypeVar("R")


class Reply(Generic[R]):
    """The slot for the answer to one ask. It travels inside the message:

        class Double(NamedTuple):
            number: int
            reply: Reply[int]

        class Doubler(Actor[Double]):
            async def receive(self, message: Double, ctx: ActorContext[Double]) -> None:
                message.reply.send(2 * message.number)

    The first `send` or `fail` settles the slot; later ones return False and change nothing. Any code in the trio thread
    may call them, also after the handler has returned. A slot that is not settled when the incarnation ends raises
    ActorDied where the ask was made.
    """

    __slots__ = ("_error", "_unanswered", "_value", "_waiter", "settled")

    def __init__(self, unanswered: dict[Reply[Any], None]) -> None:
        self._unanswered = unanswered
        """The target's record of the asks that it has taken and not answered."""
        self.settled: bool = False
        """True once the ask was answered, or given up by its asker."""
        self._value: Any = None
        self._error: Exception | None = None
        self._waiter: trio.lowlevel.Task | None = None

    def send(self, value: R) -> bool:
        """Answer with a value. Return False if the slot was settled before."""
        return self._settle(value, None)

    def fail(self, error: Exception) -> bool:
        """Answer with an error, which `ask` raises. Return False if the slot was settled before."""
        return self._settle(None, error)

    def _settle(self, value: Any, error: Exception | None) -> bool:
        if self.settled:
            return False
        self.settled, self._value, self._error = True, value, error
        self._unanswered.pop(self, None)
        # From here on the waiting task is runnable. trio does not call `_abort` for a runnable task, so a timeout or a
        # cancellation that comes before the task runs cannot take the answer away.
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter)
            self._waiter = None
        return True

    async def wait(self) -> R:
        """Wait for the answer and return it, or raise the error that it was answered with.

        For the task that asked, once. Cancelled, the slot counts as settled: a later answer returns False.
        """
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
                del error  # its traceback refers to this frame: without this the two are a reference cycle
        value: R = self._value
        return value

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._waiter = None
        self.abandon()
        return trio.lowlevel.Abort.SUCCEEDED

    def abandon(self) -> None:
        """Settle the slot without an answer, because no task waits for one any more."""
        self._settle(None, None)
