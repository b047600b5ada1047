"""An asyncio loop in a thread of its own, for those who have no asyncio program and yet asyncio steps and pools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import trio

from sagakit.jetstream.crossing import HostLoop, loop_in_thread

T = TypeVar("T")


class Host:
    """An open one. For tasks of the trio thread that opened it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._call = HostLoop(loop)

    async def call(self, fn: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await `fn(*args)` over there; cancelled here, it is cancelled and awaited there."""
        result: T = await self._call(fn, *args)
        return result

    @asynccontextmanager
    async def held(self, manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Enter an asyncio context there, and leave it in the same asyncio task."""
        leave = asyncio.Event()
        token = trio.lowlevel.current_trio_token()

        async def hold(task_status: trio.TaskStatus[T]) -> None:
            async def over_there() -> None:
                async with manager as value:
                    token.run_sync_soon(task_status.started, value)
                    await leave.wait()

            await self._call(over_there)

        async with trio.open_nursery() as nursery:
            value: T = await nursery.start(hold)
            try:
                yield value
            finally:
                self.loop.call_soon_threadsafe(leave.set)


@asynccontextmanager
async def open_host() -> AsyncIterator[Host]:
    """Run a loop while the context is open; what still runs on it then is cancelled and awaited.

    Raises RuntimeError or OSError where the system has no thread or no file left for it.
    """
    with loop_in_thread() as loop:
        host = Host(loop)
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True):
                await host.call(_end_all)


async def end_tasks() -> None:
    """Cancel all tasks of the running loop but this one, as `asyncio.run` does, and wait until they have ended.

    There is no deadline, and how they end is nobody's business any more.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end_all() -> None:
    await end_tasks()
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
