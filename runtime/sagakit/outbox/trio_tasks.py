"""The relay's tasks under trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from sagakit.outbox.relay_tasks import RelayEvent


class TrioTasks:
    """The primitives of the trio program that runs here."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    def event(self) -> RelayEvent:
        """Return a new flag."""
        return trio.Event()

    def soon(self, fn: Callable[[], object]) -> None:
        """Have trio call `fn` soon. For any thread; does nothing once trio has ended."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(fn)

    async def within(self, event: RelayEvent, seconds: float) -> None:
        """Return when the flag is set, or after so many seconds."""
        with trio.move_on_after(seconds):
            await event.wait()

    async def unhurried(self, event: RelayEvent, seconds: float) -> None:
        """Do the same as `within`, and finish that wait before a cancellation takes effect."""
        with trio.move_on_after(seconds, shield=True):
            await event.wait()

    async def together(self, calls: Sequence[Callable[[], Awaitable[None]]], seconds: float) -> None:
        """Run coroutine functions at the same time, each begun before the next, and cancel them after `seconds`."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for call in calls:
                    await nursery.start(_begun, call)  # `start_soon` alone begins them in random order


async def _begun(
    call: Callable[[], Awaitable[None]], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    task_status.started()
    await call()
