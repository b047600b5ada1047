"""The keeping of a job while it runs: marks are written down, and this process shows that it lives.

Everything here awaits a `Wire` only, so it runs on asyncio and on trio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sagakit.client.jobs import Hold, JobPages
from sagakit.errors import JobHeld
from sagakit.store.ports.wire_port import Wire, WireEvent

SAVED_EVERY = 0.5
"""Seconds between two writes of the marks."""
SIGN_EVERY = 1.0
"""Seconds between two signs of life."""
PAUSE = 0.01
"""Seconds between two looks at whether the marks are being written."""


class JobKeeping:
    """Keeps the job `pages`, which `hold` gives the right to run. `now` returns the time of the server's clock."""

    def __init__(self, wire: Wire, pages: JobPages, hold: Hold, now: Callable[[], float]) -> None:
        self._wire = wire
        self._pages = pages
        self._hold = hold
        self._now = now
        self._saving = False
        self.over: WireEvent = wire.event()
        """Set when the run is over, or is to stop."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Run the work, and give the job back. Return True if every saga has its verdict. Raises JobHeld, StoreError.

        The work runs `tasks` beside its own.
        """
        try:
            if any(not item.verdict for item in self._pages.items()):
                await work()
        except JobHeld:
            raise
        except Exception:  # whatever broke the run, another process may go on with the job at once
            await self._give_back()
            raise
        await self._give_back()
        return self._pages.job.ended is not None

    @property
    def tasks(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """The tasks that write marks and show life until the run is over."""
        return self._save_often, self._show_life

    async def save(self) -> None:
        """Write the marks down. Raises JobHeld, StoreError."""
        while self._saving:  # two writes of one page at the same time would be in each other's way
            await self._wire.sleep(PAUSE)
        self._saving = True
        try:
            await self._pages.save()
        finally:
            self._saving = False

    async def _give_back(self) -> None:
        known = all(item.verdict for item in self._pages.items())
        await self._pages.save(ended=self._now() if known else None)
        await self._hold.release()

    async def _save_often(self) -> None:
        while not await self._wire.within(SAVED_EVERY, self.over):
            await self.save()

    async def _show_life(self) -> None:
        while not await self._wire.within(SIGN_EVERY, self.over):
            await self._hold.renew()
