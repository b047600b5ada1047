"""The opening and closing of a link: a NATS client on the asyncio side that never gives up, and tasks on trio's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import nats.errors
import trio
from nats.aio.client import Client

from sagakit.errors import CannotConnect
from sagakit.jetstream.asyncio_side import AsyncioSide, open_asyncio_side
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link import Link
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.nats_options import cancellable, nats_options, why_not
from sagakit.jetstream.subscriptions import CLOSE_TIMEOUT


@asynccontextmanager
async def open_link(connection: Connection) -> AsyncIterator[Link]:
    """Connect and pump until the context ends. Raises CannotConnect."""
    async with open_asyncio_side() as side:
        client = NatsClient(side, tls_wanted=connection.tls.wanted, inbox_prefix=connection.inbox_prefix)
        link = Link(client, connection, side)
        connect = _connecting(link, client, connection, side)
        try:
            await _connect(link, connect, connection)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.pump.run)
                nursery.start_soon(link.read)
                await nursery.start(link.leaders.run)
                nursery.start_soon(link.sweep)
                nursery.start_soon(link.fail)
                yield link
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await link.close()


def _connecting(link: Link, client: Client, connection: Connection, side: AsyncioSide) -> Callable[[], Awaitable[None]]:
    """Return the function that connects. Raises InvalidConfig."""

    # nats-py accepts coroutine functions only. They return before trio has heard: the order is what matters.
    async def on_error(error: Exception) -> None:
        side.here(link.on_error, error)

    async def on_disconnected() -> None:
        side.here(link.on_disconnected)

    async def on_reconnected() -> None:
        side.here(link.on_reconnected)

    return partial(
        client.connect,
        error_cb=on_error,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
        **nats_options(connection),
    )


async def _connect(link: Link, connect: Callable[[], Awaitable[None]], connection: Connection) -> None:
    try:
        with trio.fail_after(connection.connect_timeout):
            await link.on_asyncio(cancellable, connect)
            await link.start()
    except trio.TooSlowError:
        raise why_not(connection, link.connection_errors) from None
    except (nats.errors.Error, OSError, ValueError) as error:
        raise CannotConnect(f"cannot connect to {', '.join(connection.servers)}: {error}") from error
