"""The disposal: items for which nobody waits, handled in groups by one task."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import trio
from sagakit_actors import Backoff

from sagakit.store.ports import Store

T = TypeVar("T")


class Disposal(Generic[T]):
    """Hands items to `handle`, at most `most` at once. For tasks of one trio thread.

    A group is what has gathered while the group before was handled: the slower that is, the larger the next one. Groups
    cost far less than a task for each item, and `most` bounds how long others wait for their turn. `handle` returns the
    items that are to be tried again; they wait behind the others, so that none holds up the rest.
    """

    def __init__(self, store: Store, handle: Callable[[Sequence[T]], Awaitable[Sequence[T]]], *, most: int) -> None:
        self._store = store
        self._handle = handle
        self._most = most
        self._waiting: deque[T] = deque()
        self._any = trio.Event()

    def add(self, item: T, *, first: bool = False) -> None:
        """Add an item. With `first`, it goes before those that wait."""
        (self._waiting.appendleft if first else self._waiting.append)(item)
        self._any.set()

    async def run(self) -> None:
        """Handle the items, until cancelled. Waits in an outage."""
        pause, failures = Backoff(initial_interval=0.02, max_interval=1.0), 0
        while True:
            await self._any.wait()
            await self._store.until_connected()
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            again = await self._handle(group)
            self._waiting.extend(again)
            if not self._waiting:
                self._any = trio.Event()
            failures = failures + 1 if again else 0
            if again:
                await trio.sleep(pause.delay(failures))
