"""A server that falls silent, or only seems to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

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
        with trio.fail_after(10):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")
        after = link.client.connected_url
        assert after is not None
        assert after.port != before.port
        assert [known.reconnects for known in link.client.server_pool] == [0, 0], "the frozen one was not tried"


class Pongless:
    """A relay to a server; from `begins` on it keeps the pongs to itself."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.begins: bool = False
        self.kept: int = 0
        self.url: str

    async def serve(self, client: trio.SocketStream) -> None:
        upstream = await trio.open_tcp_stream("127.0.0.1", self._server.port)
        async with client, upstream, trio.open_nursery() as nursery:
            nursery.start_soon(self._copy, client, upstream)
            async for piece in upstream:
                if self.begins:
                    self.kept += piece.count(b"PONG\r\n")
                await client.send_all(piece.replace(b"PONG\r\n", b"") if self.begins else piece)
            nursery.cancel_scope.cancel()

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        async for piece in source:
            await sink.send_all(piece)


@asynccontextmanager
async def pongless(server: Server) -> AsyncIterator[Pongless]:
    relay = Pongless(server)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1"))
        relay.url = f"nats://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield relay
        nursery.cancel_scope.cancel()
