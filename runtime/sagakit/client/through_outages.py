"""The patience of a client: it waits through an outage, and asks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sagakit.errors import Ambiguous, Unavailable
from sagakit.store.ports import Wire

FIRST_PAUSE, LAST_PAUSE = 0.02, 1.0
"""Seconds between two tries: at first, and at the most."""
T = TypeVar("T")


async def through_outages(wire: Wire, operation: Callable[[], Awaitable[T]]) -> T:
    """Run an operation that may be repeated, again and again during an outage. Raises its other errors."""
    pause = FIRST_PAUSE
    while True:
        await wire.until_connected()
        try:
            return await operation()
        except (Unavailable, Ambiguous):
            await wire.sleep(pause)
            pause = min(LAST_PAUSE, 2 * pause)
