"""The relay's tasks under asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from sagakit.outbox.relay_tasks import RelayEvent


class AsyncioTasks:
    """The primitives of the asyncio loop that runs here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def event(self) -> RelayEvent:
        """Return a new flag."""
        return asyncio.Event()

    def soon(self, fn: Callable[[], object]) -> None:
        """Have the loop call `fn` soon. For any thread; does nothing once the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(fn)

    async def within(self, event: RelayEvent, seconds: float) -> None:
        """Return when the flag is set, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    async def unhurried(self, event: RelayEvent, seconds: float) -> None:
        """Do the same as `within`, and finish that wait before a cancellation takes effect."""
        waiting = asyncio.ensure_future(self.within(event, seconds))
        cancelled: asyncio.CancelledError | None = None
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError as cancellation:
                cancelled = cancellation
        if cancelled is not None:
            raise cancelled

    async def together(self, calls: Sequence[Callable[[], Awaitable[None]]], seconds: float) -> None:
        """Run coroutine functions at the same time, each begun before the next, and cancel them after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(_awaited(call))


async def _awaited(call: Callable[[], Awaitable[None]]) -> None:
    await call()
