"""A lane: bounded room for messages of one sort. Some are handled, a few more wait; the next one finds it full."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Lane(Generic[T]):
    """Runs `handle` for each item, in at most `at_once` tasks of `nursery`. For tasks of one trio thread.

    `waiting` is the number of items that may wait.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        handle: Callable[[T], Awaitable[None]],
        *,
        at_once: int,
        waiting: int,
    ) -> None:
        self._nursery = nursery
        self._handle = handle
        self._at_once = at_once
        self._most_waiting = waiting
        self._waiting: deque[T] = deque()
        self._putting: deque[tuple[T, trio.Event]] = deque()
        """Items of callers that wait in `put`, each with the event that is set when the item is taken."""
        self._offered_last = False
        """True if the last item came from `_waiting`."""
        self._running = 0

    def offer(self, item: T) -> bool:
        """Take an item, unless the lane is full; return False if it is."""
        if self._running < self._at_once:
            self._running += 1
            self._nursery.start_soon(self._run, item)
        elif len(self._waiting) < self._most_waiting:
            self._waiting.append(item)
        else:
            return False
        return True

    async def put(self, item: T) -> None:
        """Take an item; wait until a task handles it. If the wait is cancelled, the item is not taken."""
        if self._running < self._at_once:
            self.offer(item)
            return
        entry = item, trio.Event()
        self._putting.append(entry)
        try:
            await entry[1].wait()
        except trio.Cancelled:
            if not entry[1].is_set():  # else a task has taken the item just before the cancellation: it is handled
                self._putting.remove(entry)
            raise

    async def _run(self, item: T) -> None:
        try:
            while True:
                await self._handle(item)
                # a task that has ended leaves a free place only when nothing waits. So an item that comes to a lane
                # with a free place never overtakes one that waits
                if not self._waiting and not self._putting:
                    return
                item = self._next()
        finally:
            self._running -= 1

    def _next(self) -> T:
        """Return the next item, from `offer` and from `put` in turn, so that neither holds up the other."""
        if self._waiting and not (self._putting and self._offered_last):
            self._offered_last = True
            return self._waiting.popleft()
        self._offered_last = False
        item, taken = self._putting.popleft()
        taken.set()
        return item
