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
        self._running = 0
        self._room = trio.Event()

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
        """Take an item; wait until it can be handled at once."""
        while self._running >= self._at_once or self._waiting:
            await self._room.wait()
        self.offer(item)

    async def _run(self, item: T) -> None:
        try:
            while True:
                await self._handle(item)
                if not self._waiting:
                    return
                item = self._waiting.popleft()
        finally:
            self._running -= 1
            room, self._room = self._room, trio.Event()
            room.set()
