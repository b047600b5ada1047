"""Both kinds of a `Wire` for its tests: nats-py alone under asyncio, and a link under trio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from sagakit.client.bare_errors import bare_errors
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link_wire import LinkWire
from sagakit.store.ports import Wire

from tests.servers import Server

Body = Callable[[Wire], Awaitable[None]]
OnWire = Callable[[Connection, Body], None]
LONG = 60.0


def on_asyncio(connection: Connection, body: Body) -> None:
    async def main() -> None:
        async with asyncio.timeout(LONG), open_asyncio_wire(connection) as wire:
            await body(wire)

    # A plain loop: once trio-asyncio is imported, `asyncio.run` runs on trio.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def on_trio(connection: Connection, body: Body) -> None:
    async def main() -> None:
        with trio.fail_after(LONG):
            async with opened_link_wire(connection) as wire:
                await body(wire)

    trio.run(main)


@asynccontextmanager
async def opened_link_wire(connection: Connection) -> AsyncIterator[Wire]:
    with bare_errors():
        async with open_link(connection) as link:
            yield LinkWire(link)


def to(server: Server, *, ack_timeout: float = 5.0, connect_timeout: float = 30.0) -> Connection:
    return Connection(servers=(server.url,), ack_timeout=ack_timeout, connect_timeout=connect_timeout)


async def echoing(wire: Wire, subject: str) -> None:
    """Answer each request on a subject with its own payload."""
    await wire.hear(subject, lambda message: wire.tell(message.reply, message.payload))
