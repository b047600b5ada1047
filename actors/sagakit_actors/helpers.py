"""Helpers: tasks that are kept for side work, most of which is over before it has to wait.

A helper does one piece of work after another, under one cancel scope. A piece that waits keeps its helper, and others
go on with the rest: so each runs in one task from its start to its end, in a context of its own, and what never waits
costs neither a task nor a scope.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context, copy_context
from functools import partial
from logging import getLogger
from math import inf
from types import coroutine
from typing import Any

import trio

_log = getLogger("sagakit_actors")

KEPT = 64
"""Helpers without work that are kept."""
TURN = 64
"""Pieces of work in a row after which other tasks get their turn."""


class Work(ABC):
    """One piece of side work: `await fn(*args)`, cancelled after `timeout` seconds. One of the three ends is called."""

    __slots__ = ("_scope", "args", "cancelled", "deadline", "fn", "timeout", "waited")

    def __init__(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], timeout: float) -> None:
        self.fn: Callable[..., Awaitable[Any]] = fn
        self.args: tuple[Any, ...] = args
        self.timeout: float = timeout
        self.deadline: float = inf
        self.cancelled: bool = False
        self.waited: bool = False
        self._scope: trio.CancelScope | None = None

    @abstractmethod
    def over(self, result: Any) -> None:
        """It returned, or was cancelled, by `cancel` or by its time: then `result` is None."""

    @abstractmethod
    def crashed(self, error: Exception) -> None:
        """It raised, or `over` did."""

    @abstractmethod
    def dropped(self) -> None:
        """The helpers themselves are being cancelled."""

    def cancel(self) -> None:
        """Cancel it; what has not begun never will."""
        self.cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def begin(self, scope: trio.CancelScope, deadline: float) -> Awaitable[Any]:
        """Start its time. `deadline` is the scope's; it is changed here only if it must be, since that is expensive."""
        self._scope = scope
        if self.timeout < inf:
            self.deadline = trio.current_time() + self.timeout
        if self.deadline < deadline or self.deadline == inf != deadline:
            scope.deadline = self.deadline
        return self.fn(*self.args)

    def waits(self) -> None:
        """It is about to wait for the first time."""
        self.waited = True
        if self._scope is not None and self._scope.deadline != self.deadline:
            self._scope.deadline = self.deadline


class Helpers:
    """As many tasks in `nursery` as there are pieces of work that wait, and a few more."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._context = copy_context()
        self._queue: deque[Work] = deque()
        self._idle: list[trio.lowlevel.Task] = []
        self._free = 0
        """Helpers that will look at the queue by themselves: none is to be called for what is put there."""

    def take(self, work: Work) -> None:
        """Have it done, soon, in the order of these calls."""
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
        """Until the queue is empty, or one has waited: whatever it left open is found as the scope is closed."""
        work: Work | None = None
        result: Any = None
        deadline = inf
        try:
            with trio.CancelScope() as scope:
                for _ in range(min(TURN, len(self._queue))):
                    work, result = self._queue.popleft(), None
                    if not work.cancelled:
                        awaitable = work.begin(scope, deadline)
                        result = await _run(awaitable, self._context.copy(), partial(self._waits, work))
                    if work.cancelled or work.waited:
                        break
                    work.over(result)
                    deadline = inf if work.deadline == inf else min(deadline, work.deadline)
                    work = None
            if work is not None:
                work.over(result)
        except BaseException as error:  # told apart below
            crash = _as_crash(error)
            if crash is None:
                if work is not None:
                    work.dropped()
                raise
            if work is None:
                _log.error("side work left a cancel scope open", exc_info=crash)
            else:  # its owner decides, and the helper goes on
                work.crashed(crash)
        finally:
            self._free += work is not None and work.waited

    def _waits(self, work: Work) -> None:
        """Note that it keeps its helper. Others are needed: else waiting work is begun one piece a turn."""
        work.waits()
        self._free -= 1
        for _ in range(min(2, len(self._queue) - self._free)):
            self._call_one()


def _as_crash(error: BaseException) -> Exception | None:
    """None for what is to be passed on. A cancellation that is not the helper's own is a mistake as any other."""
    if isinstance(error, trio.Cancelled) and trio.current_effective_deadline() > -inf:
        crash = RuntimeError("it raised trio.Cancelled, and nobody had cancelled it")
        crash.__cause__ = error
        return crash
    return error if isinstance(error, Exception) else None


@coroutine
def _run(awaitable: Awaitable[Any], context: Context, waits: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Await in `context`; call `waits` before it first waits."""
    steps = awaitable.__await__()
    try:
        trap = context.run(next, steps)
        waits()
        while True:
            try:
                step = partial(steps.send, (yield trap))
            except BaseException as error:  # also GeneratorExit: whatever is thrown here is meant for it
                step = partial(steps.throw, error)
            trap = context.run(step)
    except StopIteration as end:
        return end.value
