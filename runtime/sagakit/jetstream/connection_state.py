"""The state of a link's connection: up, lost or closing. Tasks wait for a lost connection; nothing crashes for it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from sagakit.errors import RuntimeClosed


class ConnectionState:
    """The state of one link's connection, for tasks of the trio thread. `connected` says whether it is up now."""

    def __init__(self, connected: Callable[[], bool]) -> None:
        self._connected = connected
        self._up = trio.Event()
        self.reconnected_at: float = -inf
        """Time, by trio's clock, when the connection last came back."""
        self.reconnects: int = 0
        """Number of times that the connection came back."""
        self.closing: bool = False
        """True once the link is being closed: it never comes up again."""

    async def until_connected(self) -> None:
        """Return when the connection is up. Raises RuntimeClosed when it never will be again."""
        while not self._connected():
            if self.closing:
                raise RuntimeClosed("the runtime has closed")
            await self._up.wait()
        await trio.lowlevel.checkpoint()

    async def until_reconnected(self, since: float) -> None:
        """Return when the connection has come back after `since`."""
        while self.reconnected_at <= since:
            await self._up.wait()
        await trio.lowlevel.checkpoint()

    def came_back(self) -> None:
        """Wake the tasks that wait for the connection."""
        self.reconnected_at = trio.current_time()
        self.reconnects += 1
        up, self._up = self._up, trio.Event()
        up.set()

    def closed(self) -> None:
        """Wake the tasks that wait: nothing comes up any more."""
        self._up.set()
