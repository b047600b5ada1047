"""A flag that tasks can wait for: `trio.Event`, with a sixth of its memory while no task waits."""

from __future__ import annotations

from typing import final

import trio


@final
class Flag:
    """A flag that is set once and stays set. For tasks of one trio thread."""

    __slots__ = ("_event", "is_set")

    def __init__(self) -> None:
        self.is_set: bool = False
        self._event: trio.Event | None = None

    def set(self) -> None:
        """Set the flag and wake every task that waits for it. Setting it again changes nothing."""
        self.is_set = True
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Return once the flag is set. A checkpoint in any case."""
        if self.is_set:
            await trio.lowlevel.checkpoint()
            return
        # Tasks that wait share one event. `set` drops it only after waking them, so no task is left behind.
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()
