"""The light way to look at sagas: a plain connection under asyncio. It loads no trio and no worker's parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from sagakit.client.reaching import client_connection, usable_names
from sagakit.definition import Plan
from sagakit.engine import Record
from sagakit.jetstream.asyncio_run import run_on_wire
from sagakit.jetstream.asyncio_wire import AsyncioWire
from sagakit.jetstream.wire_reading import WireReading
from sagakit.repository import SagaRepository
from sagakit.store.names import Names
from sagakit.store.ports import Wire
from sagakit.system.config import Config


class Looking(Protocol):
    """The stored sagas, the server's time, and the connection: the part of `PlainAccess` that needs no worker."""

    @property
    def repository(self) -> SagaRepository:
        """The stored sagas."""
        ...

    @property
    def wire(self) -> Wire | None:
        """The connection itself; None for a store in memory."""
        ...

    @property
    def names(self) -> Names:
        """The names on the wire."""
        ...

    def now(self) -> float:
        """Return the time of the server's clock, in seconds since the epoch."""
        ...


class Choosing(Looking, Protocol):
    """Besides that, single sagas by their keys, and the plans that the workers keep."""

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key. Raises UnknownSaga, Undecodable, StoreError."""
        ...

    async def plan_of(self, record: Record) -> Plan | None:
        """Return the plan that the workers keep of the saga's version; None if it is gone or cannot be read."""
        ...


class Looker:
    """A `Looking` over a plain connection. `opened_at` is the server's time when it was made."""

    def __init__(self, wire: Wire, names: Names, reading: WireReading, opened_at: float) -> None:
        self.repository: SagaRepository = SagaRepository(reading)
        self.wire: Wire = wire
        self.names: Names = names
        self._ahead = opened_at - wire.now()

    def now(self) -> float:
        """Return the server's time."""
        return self.wire.now() + self._ahead


def look(url: str, config: Config, work: Callable[[Looking], Awaitable[int | None]]) -> int:
    """Connect to a running server, do the work, and return its exit code. Raises the errors of `open_client`."""

    async def run(wire: AsyncioWire) -> int:
        names = await usable_names(wire, wire.server_version, config)
        reading = WireReading(wire, names)
        return await work(Looker(wire, names, reading, await reading.now())) or 0

    return run_on_wire(client_connection(url, config), run)
