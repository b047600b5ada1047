"""The run of an asyncio loop for work on a connection, for commands that end after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sagakit.jetstream.asyncio_wire import AsyncioWire, open_asyncio_wire
from sagakit.jetstream.connection import Connection

T = TypeVar("T")


def run_on_wire(
    connection: Connection, work: Callable[[AsyncioWire], Awaitable[T]], *, within: float | None = None
) -> T:
    """Connect, do the work on a loop of this thread, and return its result.

    The work gets `within` seconds. Raises CannotConnect, LoginRefused, TimeoutError.
    """

    async def run() -> T:
        async with open_asyncio_wire(connection) as wire:
            async with asyncio.timeout(within):
                return await work(wire)

    return asyncio.run(run())
