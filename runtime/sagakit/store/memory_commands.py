"""The commands of the store in memory."""

from __future__ import annotations

from math import inf

import trio

from sagakit.errors import Unavailable
from sagakit.store.faults import Watched
from sagakit.store.memory_connection import MemoryConnection
from sagakit.store.memory_server import QueuedCommand
from sagakit.store.ports import DUPLICATES


class MemoryCommands:
    """The commands in memory; implements the port `CommandQueue`."""

    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection

    async def check(self) -> None:
        """Return: a store in memory has always a queue."""
        await trio.lowlevel.checkpoint()

    def queued(self) -> list[QueuedCommand]:
        """Return the commands that no participant has taken yet."""
        return list(self._connection.server.commands)

    async def send(self, endpoint: str, *, id: str, payload: bytes) -> None:
        """Append a command, unless one with this id came within the last DUPLICATES seconds."""
        await trio.lowlevel.checkpoint()
        await self._connection.thawed.wait()
        server, now = self._connection.server, trio.current_time()
        faults, watched = server.faults, Watched("commands", id, payload)
        if not self._connection.away and faults.before_write is not None:
            faults.before_write(watched)
        if self._connection.away:
            raise Unavailable("disconnected")
        if server.command_ids.get(id, -inf) <= now:
            server.command_ids[id] = now + DUPLICATES
            server.commands.append(QueuedCommand(endpoint, payload))
            server.commands_changed.unpark_all()
        if faults.after_write is not None:
            faults.after_write(watched)
