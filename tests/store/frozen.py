"""What a link does when its server falls silent."""

from __future__ import annotations

import trio
from sagakit.jetstream.link import Link

from tests.servers import Server


async def left_for_another(link: Link, servers: tuple[Server, Server], unsent: int) -> None:
    """Freeze the server that the link is connected to; it must get its answers from the other one."""
    before = link.client.connected_url
    assert before is not None
    (server,) = (server for server in servers if server.port == before.port)
    with server.frozen():
        for _ in range(unsent // 2**19):
            link.tell("x", bytes(2**19))
        with trio.fail_after(10):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")
        after = link.client.connected_url
        assert after is not None
        assert after.port != before.port
        assert [known.reconnects for known in link.client.server_pool] == [0, 0], "the frozen one was not tried"
