"""Helpers are tasks that run side work, most of which ends before it has to wait.

A helper does one piece of work after another, under one cancel scope. A piece that waits keeps its helper, and other
helpers do the rest. So each piece runs in one task from its start to its end, in its own context, and a piece that
never waits costs neither a task nor a scope.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context, copy_context
from functools import partial
from logging import getLogger
from math import inf
from types import coroutine
from typing import Any, Protocol

import trio

_log = getLogger("sagakit_actors")

KEPT = 64
"""Number of idle helpers that are kept."""
TURN = 64
"""Number of pieces of work in a row after which other tasks get their turn."""


class Owner(Protocol):
    """The owner of side work. Exactly one of these methods is called at the end of each piece."""

    def take_result(self, work: Work, result: Any, /) -> None:
        """Take the result. It is None if the work was cancelled, by `cancel` or by its timeout."""
        ...

    def take_crash(self, work: Work, error: Exception, /) -> None:
        """Take the error that the work or `take_result` raised."""
        ...

    def forget(self, work: Work, /) -> None:
        """Clean up: the helpers themselves are being cancelled."""
        ...


class Work:
    """A piece of side work: `await fn(*args)`, cancelled after `timeout` seconds. `to` is the owner's own."""

    __slots__ = ("_scope", "args", "cancelled", "deadline", "fn", "owner", "timeout", "to", "waited")

    def __init__(
        self,
        owner: Owner,
        to: Callable[[Any], Any],
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        timeout: float,
    ) -> None:
        self.owner: Owner = owner
        self.to: Callable[[Any], Any] = to
        self.fn: Callable[..., Awaitable[Any]] = fn
        self.args: tuple[Any, ...] = args
        self.timeout: float = timeout
        self.deadline: float = inf
        """The time of trio's clock at which it is cancelled."""
        self.cancelled: bool = False
        """True once `cancel` was called."""
        self.waited: bool = False
        """True once it had to wait."""
        self._scope: trio.CancelScope | None = None

    def cancel(self) -> None:
        """Cancel the work. Work that has not begun never begins."""
        self.cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def begin(self, scope: trio.CancelScope, now: Callable[[], float]) -> None:
        """Start the clock of the work, which is about to run in `scope`."""
        self._scope = scope
        if self.timeout < inf:
            self.deadline = now() + self.timeout

    def waits(self) -> None:
        """Set the exact deadline: the work is about to wait for the first time."""
        self.waited = True
        if self._scope is not None and self._scope.deadline != self.deadline:
            self._scope.deadline = self.deadline


class Helpers:
    """A pool of helpers in `nursery`: one for each piece of work that waits, and a few idle ones."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._context = copy_context()
        self._now = trio.lowlevel.current_clock().current_time  # what `trio.current_time` comes to, sooner
        self._queue: deque[Work] = deque()
        self._idle: list[trio.lowlevel.Task] = []
        self._free = 0
        """Number of helpers that will look at the queue without being called."""

    def take(self, work: Work) -> None:
        """Begin `work` soon. Work begins in the order of these calls."""
        self._queue.append(work)
        if not self._free:
            self._call_one()

    def _call_one(self) -> None:
        self._free += 1
        if self._idle:
            trio.lowlevel.reschedule(self._idle.pop())
        else:
            self._nursery.start_soon(self._help)

    async def _help(self) -> None:
        while self._queue or len(self._idle) < KEPT:
            if self._queue:
                await self._work()
                if self._queue:
                    await trio.lowlevel.checkpoint()
            else:
                await self._rest()
        self._free -= 1

    async def _rest(self) -> None:
        self._free -= 1
        task = trio.lowlevel.current_task()
        self._idle.append(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _work(self) -> None:
        """Do work until the queue is empty, the turn is over, or one piece has waited."""
        # A piece that waited ends this round, so that the scope closes right after it. If the piece left a scope of its
        # own open, closing this one raises, and the error is charged to that piece.
        work: Work | None = None
        result: Any = None
        # The scope begins with the deadline of the first piece, which then need not set it.
        deadline = self._now() + self._queue[0].timeout
        try:
            with trio.CancelScope(deadline=deadline) as scope:
                for _ in range(min(TURN, len(self._queue))):
                    work, result = self._queue.popleft(), None
                    if not work.cancelled:
                        work.begin(scope, self._now)
                        # Setting a scope's deadline is expensive, and most work ends before it waits. So the scope
                        # keeps the earliest deadline of the work that it has held in this round; `waits` sets the exact
                        # one. An early deadline cannot hurt work that never waits, because a cancellation acts only at
                        # a checkpoint. Two cases need it set at once: this work is due before the deadline that is set,
                        # or it has none while one is set.
                        if work.deadline < deadline or work.deadline == inf != deadline:
                            scope.deadline = deadline = work.deadline
                        steps = work.fn(*work.args).__await__()
                        # Each step runs inside `context.run`, so that the next piece of the same helper does not see
                        # the context variables that this one sets.
                        context = self._context.copy()
                        try:
                            trap = context.run(next, steps)
                        except StopIteration as end:
                            result = end.value
                        else:
                            self._waits(work)
                            result = await _go_on(steps, trap, context)
                    if work.cancelled or work.waited:
                        break
                    work.owner.take_result(work, result)
                    work = None
            if work is not None:
                work.owner.take_result(work, result)
        except BaseException as error:  # `_as_crash` tells a crash from a cancellation of the helper
            crash = _as_crash(error)
            if crash is None:
                if work is not None:
                    work.owner.forget(work)
                raise
            if work is None:
                _log.error("a piece of side work left a cancel scope open", exc_info=crash)
            else:  # the owner of the work decides, and the helper goes on
                work.owner.take_crash(work, crash)
        finally:
            self._free += work is not None and work.waited  # `_waits` has subtracted this helper

    def _waits(self, work: Work) -> None:
        """Note that the work keeps its helper, and call others for the work behind it."""
        work.waits()
        self._free -= 1
        # Two, not one: if all of the queued work waits, each helper calls two more, and the queue empties in a few
        # turns. With one, a single piece would begin in each turn.
        for _ in range(min(2, len(self._queue) - self._free)):
            self._call_one()


def _as_crash(error: BaseException) -> Exception | None:
    """Return the crash that an error stands for; None if it is to be raised again, as a cancellation of the helper."""
    # A helper that is being cancelled has the effective deadline -inf. Otherwise user code has raised a `Cancelled`
    # that it kept from elsewhere: an error like any other, which must not end the helper.
    if isinstance(error, trio.Cancelled) and trio.current_effective_deadline() > -inf:
        crash = RuntimeError("the work raised trio.Cancelled, but was not cancelled")
        crash.__cause__ = error
        return crash
    return error if isinstance(error, Exception) else None


@coroutine
def _go_on(steps: Generator[Any, Any, Any], trap: Any, context: Context) -> Generator[Any, Any, Any]:
    """Await what `steps` waits for, which is `trap` first, and return the result."""
    # The traps are passed on to trio unchanged: to trio this is the helper's own task.
    try:
        while True:
            try:
                step = partial(steps.send, (yield trap))
            except BaseException as error:  # also GeneratorExit: an error thrown in here is meant for the work
                step = partial(steps.throw, error)
            trap = context.run(step)
    except StopIteration as end:
        return end.value
