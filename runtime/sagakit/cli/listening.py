"""HTTP servers of commands: a socket at an address, and an ASGI app that answers there, on trio."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import repr_socket_addr

from sagakit.errors import InvalidConfig

GRACE = 1.0
"""Seconds that the answers under way get when a server closes."""


def listen(address: str, *, option: str) -> socket.socket:
    """Return a socket that listens on `host:port`; port 0 picks one. Raises InvalidConfig, which names the option."""
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal():
        raise InvalidConfig(f"{option}={address!r}: write HOST:PORT, such as 0.0.0.0:8080; port 0 picks one")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise InvalidConfig(f"{option}={address!r}: cannot listen there: {error}; choose another address") from None


@asynccontextmanager
async def answering(listening: socket.socket, app: Any) -> AsyncIterator[str]:
    """Answer by an ASGI app while the context is open. Yields the URL. Leaving takes GRACE seconds at the most."""
    connections = _Connections(app)
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listening))]
    async with connections.cut_off_in_the_end(), trio.open_nursery() as accepting:
        serve = partial(trio.serve_listeners, connections.answer, listeners, handler_nursery=connections.nursery)
        await accepting.start(serve)
        try:
            yield f"http://{repr_socket_addr(listening.family, listening.getsockname())}"
        finally:
            accepting.cancel_scope.cancel()


class _Connections:
    """The connections of a server.

    hypercorn's own `serve` cannot end while a visitor reads nothing of its answer: it sends under a shield. Here the
    socket of such a visitor is closed, and so the send fails.
    """

    def __init__(self, app: Any) -> None:
        self._app = ASGIWrapper(app)
        self._config = HypercornConfig()
        self._config.errorlog = logging.getLogger("hypercorn")
        self._config.include_server_header = False
        self._context = WorkerContext(max_requests=None)
        self._open: set[trio.SocketStream] = set()
        self.nursery: trio.Nursery
        """The tasks of the connections."""

    async def answer(self, stream: trio.SocketStream) -> None:
        """Answer the requests of one connection."""
        self._open.add(stream)
        try:
            await TCPServer(self._app, self._config, self._context, ConnectionState({}), stream)  # type: ignore[arg-type]  # it takes plain streams, too
        finally:
            self._open.discard(stream)

    @asynccontextmanager
    async def cut_off_in_the_end(self) -> AsyncIterator[None]:
        """Let connections be answered while the context is open, and a moment longer."""
        patience = trio.CancelScope(shield=True)
        async with trio.open_nursery() as outside:
            async with trio.open_nursery() as self.nursery:
                try:
                    yield
                finally:
                    await self._context.terminated.set()
                    outside.start_soon(self._cut_off, patience)
            patience.cancel()

    async def _cut_off(self, patience: trio.CancelScope) -> None:
        with patience:
            await trio.sleep(GRACE)
            self.nursery.cancel_scope.cancel()
            for stream in self._open:
                stream.socket.close()
