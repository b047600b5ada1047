"""The options with which nats-py connects, whichever side of sagakit it serves: it never gives up, and leaves a frozen
server within seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import sample
from typing import Any

from sagakit.errors import CannotConnect, LoginRefused
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.connection_errors import ConnectionErrors

CONNECT_TRY = 2
"""Seconds that one server gets to answer while connecting."""
PING_EVERY = 1
"""Seconds between two questions whether the server is still there."""
PINGS_OWED = 2
"""Questions that may be without an answer. At the next one the server counts as lost, and another is connected to.

So a frozen server is left after PING_EVERY * (PINGS_OWED + 1) seconds. The renewals of a lease that only this server
could take are late by as much, and other workers, on other servers, must not declare the worker dead for that (P12).
CONNECT_TRY is added only if the first of the other servers does not answer either.
"""


def nats_options(connection: Connection) -> dict[str, Any]:
    """Return the arguments of nats-py's `connect`, without its callbacks. Raises InvalidConfig."""
    return {
        "servers": sample(connection.servers, len(connection.servers)),
        "dont_randomize": True,  # the client does it, in its own way
        "name": connection.name,
        "connect_timeout": CONNECT_TRY,
        "reconnect_time_wait": 0.1,  # annotated int, slept on as it is
        "max_reconnect_attempts": -1,
        "ping_interval": PING_EVERY,
        "max_outstanding_pings": PINGS_OWED,
        "pending_size": 0,
        "drain_timeout": 2,
        **connection.options(),
    }


async def cancellable(fn: Callable[[], Awaitable[None]]) -> None:
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


def why_not(connection: Connection, errors: ConnectionErrors) -> CannotConnect:
    """Return the most telling of the errors met while connecting."""
    where = ", ".join(connection.servers)
    if errors.refused_login is not None:
        return LoginRefused(f"{where} refused {connection.identity}: {errors.refused_login}")
    why = f": {errors.most_telling}" if errors.most_telling else ""
    return CannotConnect(
        f"no NATS server answered at {where} within {connection.connect_timeout:g} s{why}; start one there, or "
        "correct the URL"
    )
