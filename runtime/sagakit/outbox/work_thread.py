"""A thread that makes blocking calls for a coroutine of asyncio or trio, one call after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from sagakit.outbox.relay_tasks import RelayTasks

R = TypeVar("R")

CLOSING = 5.0
"""Seconds that `close` waits for a call that is under way. The thread ends after that call in any case."""


class WorkThread:
    """A single thread for all calls, since a connection of sqlite3 belongs to the thread that opened it.

    A cancelled call goes on in the thread, and nobody hears of its end. Whatever happens, `at_end` is the last thing
    that the thread calls.
    """

    def __init__(self, tasks: RelayTasks, at_end: Callable[[], None]) -> None:
        self._tasks = tasks
        self._at_end = at_end
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended = tasks.event()
        threading.Thread(target=self._work, name="sagakit-outbox", daemon=True).start()

    async def call(self, fn: Callable[[], R]) -> R:
        """Return what `fn()` returns in the thread, or raise what it raises."""
        done, results, errors = self._tasks.event(), list[R](), list[BaseException]()

        def perform() -> None:
            try:
                results.append(fn())
            except BaseException as error:  # raised in the coroutine
                errors.append(error)
            self._tasks.soon(done.set)

        self._calls.put(perform)
        await done.wait()
        if errors:
            raise errors[0]
        return results[0]

    async def close(self) -> None:
        """End the thread and wait for that, at most CLOSING seconds, even when the caller is cancelled."""
        self._calls.put(None)
        await self._tasks.unhurried(self._ended, CLOSING)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
        try:
            self._at_end()
        finally:
            self._tasks.soon(self._ended.set)
