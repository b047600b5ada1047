"""A lane: room for messages of one sort. Some are handled at once, a few more wait; the next one finds it full."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Lane(Generic[T]):
    """Runs `handle` for each item, in tasks of `nursery`; at most `at_once` of them. For one trio thread.

    `waiting` is how many more may wait; infinite where something else bounds them.
    """

    def __init__(
        self, nursery: trio.Nursery, handle: Callable[[T], Awaitable[None]], *, at_once: int, waiting: float
    ) -> None:
        self._nursery = nursery
        self._handle = handle
        self._at_once = at_once
        self._most_waiting = waiting
        self._waiting: deque[T] = deque()
        self._putting: deque[tuple[T, trio.Event]] = deque()
        """Items of those who wait in `put`, each with what tells that it was taken."""
        self._offered_last = False
        self._running = 0

    def offer(self, item: T) -> bool:
        """Take an item, unless the lane is full."""
        if self._running < self._at_once:
            self._running += 1
            self._nursery.start_soon(self._run, item)
        elif len(self._waiting) < self._most_waiting:
            self._waiting.append(item)
        else:
            return False
        return True

    async def put(self, item: T) -> None:
        """Take an item; wait until it is handled. Cancelled meanwhile, it is not taken."""
        if self._running < self._at_once:
            self.offer(item)
            return
        entry = item, trio.Event()
        self._putting.append(entry)
        try:
            await entry[1].wait()
        except trio.Cancelled:
            if not entry[1].is_set():
                self._putting.remove(entry)
            raise

    async def _run(self, item: T) -> None:
        try:
            while True:
                await self._handle(item)
                if not self._waiting and not self._putting:
                    return
                item = self._next()
        finally:
            self._running -= 1

    def _next(self) -> T:
        """Return what is handled next: of those who wait in the two ways, one in turn, so that none holds up others."""
        if self._waiting and not (self._putting and self._offered_last):
            self._offered_last = True
            return self._waiting.popleft()
        self._offered_last = False
        item, taken = self._putting.popleft()
        taken.set()
        return item
