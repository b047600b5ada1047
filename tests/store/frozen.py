"""A server that falls silent, or only seems to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import trio
from sagakit.jetstream.link import Link

from tests.servers import Server


async def left_for_another(link: Link, servers: Mapping[int, Server], unsent: int) -> None:
    """Freeze the one of two servers, by port, that the link is connected to; it must get its answers from the other."""
    before = link.client.connected_url
    assert before is not None
    assert before.port is not None
    with servers[before.port].frozen():
        for _ in range(unsent // 2**19):
            link.tell("x", bytes(2**19))
        with trio.fail_after(60):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")
        after = link.client.connected_url
        assert after is not None
        assert after.port != before.port
        assert [known.reconnects for known in link.client.server_pool] == [0, 0], "the frozen one was not tried"


class Relay:
    """To a server. `up` and `down` say what becomes of a piece on a connection, counted from 1."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.connections: int = 0
        self.open: int = 0
        self.url: str

    async def up(self, piece: bytes, connection: int) -> bytes:
        return piece

    async def down(self, piece: bytes, connection: int) -> bytes:
        return piece

    async def serve(self, client: trio.SocketStream) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        upstream = await trio.open_tcp_stream("127.0.0.1", self._server.port)
        async with client, upstream, trio.open_nursery() as both:
            both.start_soon(self._copy, client, upstream, partial(self.up, connection=number), both.cancel_scope)
            both.start_soon(self._copy, upstream, client, partial(self.down, connection=number), both.cancel_scope)
        self.open -= 1

    async def _copy(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        passed: Callable[[bytes], Awaitable[bytes]],
        both: trio.CancelScope,
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for piece in source:
                if kept := await passed(bytes(piece)):
                    await sink.send_all(kept)
        both.cancel()


class Pongless(Relay):
    """From `begins` on it keeps the pongs to itself."""

    begins: bool = False
    kept: int = 0

    async def down(self, piece: bytes, connection: int) -> bytes:
        if not self.begins:
            return piece
        self.kept += piece.count(b"PONG\r\n")
        return piece.replace(b"PONG\r\n", b"")


class LatePongs(Relay):
    """While it `holds` them, pongs are kept, and come with what comes next."""

    holds: bool = False
    held: bytes = b""

    async def down(self, piece: bytes, connection: int) -> bytes:
        if not self.holds:
            held, self.held = self.held, b""
            return held + piece
        self.held += b"PONG\r\n" * piece.count(b"PONG\r\n")
        return piece.replace(b"PONG\r\n", b"")


class Cut(Relay):
    """From `begins` on the first connection is cut."""

    begins: bool = False

    async def up(self, piece: bytes, connection: int) -> bytes:
        if self.begins and connection == 1:
            raise trio.BrokenResourceError
        return piece


class Unsteady(Cut):
    """On the next two the answer to the login is the last pong that comes."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._pongs = Counter[int]()

    async def down(self, piece: bytes, connection: int) -> bytes:
        self._pongs[connection] += piece.count(b"PONG\r\n")
        return piece if connection not in (2, 3) or self._pongs[connection] < 2 else piece.replace(b"PONG\r\n", b"")


class Impostor(Cut):
    """On the next one something else answers."""

    def __init__(self, server: Server, answer: bytes) -> None:
        super().__init__(server)
        self._answer = answer

    async def down(self, piece: bytes, connection: int) -> bytes:
        return self._answer if connection == 2 else piece


class OneWay(Relay):
    """From `begins` on the server hears no more of the first connection."""

    begins: bool = False

    async def up(self, piece: bytes, connection: int) -> bytes:
        return b"" if self.begins and connection == 1 else piece


AnyRelay = TypeVar("AnyRelay", bound=Relay)


@asynccontextmanager
async def relaying(relay: AnyRelay) -> AsyncIterator[AnyRelay]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1"))
        relay.url = f"nats://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield relay
        nursery.cancel_scope.cancel()
