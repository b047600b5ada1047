"""A lane: bounded room for messages of one sort. Some are handled, a few more wait; the next one finds it full."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Lane(Generic[T]):
    """Runs `handle` for each item, in at most `at_once` tasks of `nursery`. For tasks of one trio thread.

    `waiting` is the number of items that may wait; infinite where something else bounds them. With `rate`, there are
    more tasks while an item takes long, as many as handle `rate` items a second (Little's law), and at most `most`.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        handle: Callable[[T], Awaitable[None]],
        *,
        at_once: int,
        waiting: float,
        rate: float = 0.0,
        most: int = 0,
    ) -> None:
        self._nursery = nursery
        self._handle = handle
        self._least = at_once
        self._at_once = at_once
        self._rate = rate
        self._most = most
        self._took = 0.0
        """Seconds that an item takes, averaged over about the last ten."""
        self._most_waiting = waiting
        self._waiting: deque[T] = deque()
        self._putting: deque[tuple[T, trio.Event]] = deque()
        """Items of callers that wait in `put`, each with the event that is set when the item is taken."""
        self._offered_last = False
        """True if the last item came from `_waiting`."""
        self._running = 0

    def offer(self, item: T, *, first: bool = False) -> bool:
        """Take an item, unless the lane is full; return False if it is. With `first`, it does not wait in line."""
        if self._running < self._at_once:
            self._running += 1
            self._nursery.start_soon(self._run, item)
        elif len(self._waiting) < self._most_waiting:
            (self._waiting.appendleft if first else self._waiting.append)(item)
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
                began = trio.current_time()
                await self._handle(item)
                self._learn(trio.current_time() - began)
                # a task that has ended leaves a free place only when nothing waits. So an item that comes to a lane
                # with a free place never overtakes one that waits
                if (not self._waiting and not self._putting) or self._running > self._at_once:
                    return
                item = self._next()
        finally:
            self._running -= 1

    def _learn(self, took: float) -> None:
        """Have as many tasks from now on as the rate needs."""
        self._took += (took - self._took) / 10
        self._at_once = max(self._least, min(self._most, round(self._took * self._rate)))
        while self._waiting and self._running < self._at_once:
            self._running += 1
            self._nursery.start_soon(self._run, self._next())

    def _next(self) -> T:
        """Return the next item, from `offer` and from `put` in turn, so that neither holds up the other."""
        if self._waiting and not (self._putting and self._offered_last):
            self._offered_last = True
            return self._waiting.popleft()
        self._offered_last = False
        item, taken = self._putting.popleft()
        taken.set()
        return item
