"""HTTP servers of commands: a socket at an address, and an ASGI app that answers there, on trio."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve

from sagakit.errors import InvalidConfig


def listen(address: str, *, option: str) -> socket.socket:
    """Return a socket that listens on `host:port`; port 0 picks one. Raises InvalidConfig, which names the option."""
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal():
        raise InvalidConfig(f"{option}={address!r}: write HOST:PORT, such as 0.0.0.0:8080; port 0 picks one")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise InvalidConfig(f"{option}={address!r}: cannot listen there: {error}") from None


@asynccontextmanager
async def answering(listening: socket.socket, app: Any) -> AsyncIterator[str]:
    """Answer by an ASGI app while the context is open. Yields the URL."""
    config = HypercornConfig()
    config.bind = [f"fd://{listening.detach()}"]
    config.errorlog = logging.getLogger("hypercorn")
    config.include_server_header = False
    config.graceful_timeout = 1.0
    closing = trio.Event()

    async def run(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(app, config, shutdown_trigger=closing.wait, task_status=task_status)

    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(run)
        try:
            yield url
        finally:
            closing.set()
