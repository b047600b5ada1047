"""The opening and closing of a link: a NATS client on the asyncio side that never gives up, and tasks on trio's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import sample

import nats.errors
import trio
from nats.aio.client import Client

from sagakit.errors import CannotConnect, LoginRefused
from sagakit.jetstream.asyncio_side import AsyncioSide, open_asyncio_side
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.connection_errors import Troubles
from sagakit.jetstream.link import Link
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.subscriptions import CLOSE_TIMEOUT

CONNECT_TRY = 2
"""Seconds that one server gets to answer while connecting."""
PING_EVERY = 1
"""Seconds between two questions whether the server is still there."""
PINGS_OWED = 2
"""Questions that may be without an answer; at the next one the server counts as lost, and another is connected to."""
NOTICED = PING_EVERY * (PINGS_OWED + 1)
"""Seconds, at most, until a server is left that is frozen. Renewals of a lease that only it could take are late by as
much, and other workers, on other servers, must not declare the worker dead for that (P12). CONNECT_TRY comes on top
only if the first of the other servers does not answer either."""


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
        servers=sample(connection.servers, len(connection.servers)),
        dont_randomize=True,  # the client does it, in its own way
        name=connection.name,
        error_cb=on_error,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
        connect_timeout=CONNECT_TRY,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]  # annotated int, slept on as it is
        max_reconnect_attempts=-1,
        ping_interval=PING_EVERY,
        max_outstanding_pings=PINGS_OWED,
        pending_size=0,
        drain_timeout=2,
        **connection.options(),
    )


async def _connect(link: Link, connect: Callable[[], Awaitable[None]], connection: Connection) -> None:
    where = ", ".join(connection.servers)
    try:
        with trio.fail_after(connection.connect_timeout):
            await link.on_asyncio(_cancellable, connect)
            await link.start()
    except trio.TooSlowError:
        raise _why_not(where, connection.connect_timeout, link.troubles) from None
    except (nats.errors.Error, OSError, ValueError) as error:
        raise CannotConnect(f"cannot connect to {where}: {error}") from error


async def _cancellable(fn: Callable[[], Awaitable[None]]) -> None:
    """Await `fn()`; cancelled, cancel it until it has ended.

    Before Python 3.12 `asyncio.wait_for`, which connecting uses, may swallow a cancellation.
    """
    task = asyncio.ensure_future(fn())
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
        raise
    task.result()


def _why_not(where: str, timeout: float, troubles: Troubles) -> CannotConnect:
    """Return the most telling of the errors met while connecting."""
    if troubles.refused_login is not None:
        return LoginRefused(f"{where} refused the credentials: {troubles.refused_login}")
    why = f": {troubles.most_telling}" if troubles.most_telling else ""
    return CannotConnect(
        f"no NATS server answered at {where} within {timeout:g} s{why}; start one there, or correct the URL"
    )
