"""Keys in a bucket, as several processes have them: each call has a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sagakit.client.client_opening import client_config
from sagakit.client.reaching import client_connection
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.participant import Keys, KvKeys
from sagakit.participant.key_store import DoWork, KeptReply, UndoWork


class SetTime:
    """The server's time, as a test sets it."""

    def __init__(self) -> None:
        self.seconds = 1e9

    async def now(self) -> float:
        return self.seconds


class KeysOfManyProcesses:
    """Keys in a bucket; each call is made by a process of its own."""

    is_atomic = False
    horizon: float | None = None

    def __init__(self, url: str, bucket: str) -> None:
        self.time = SetTime()
        self._url = url
        self._keys = KvKeys(bucket)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Keys]:
        async with open_asyncio_wire(client_connection(self._url, client_config({}))) as wire:
            yield await self._keys.opened(wire, self.time)

    async def do(self, key: str, work: DoWork) -> KeptReply:
        async with self.process() as keys:
            return await keys.do(key, work)

    async def burn(self, key: str, undo: UndoWork) -> None:
        async with self.process() as keys:
            await keys.burn(key, undo)

    async def look(self, key: str) -> KeptReply | None:
        async with self.process() as keys:
            return await keys.look(key)
