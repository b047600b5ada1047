"""The window of a connection: whoever waits for room gets it."""

from __future__ import annotations

from pathlib import Path

import trio
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link import Link

from tests.servers import Server, running_server


async def test_all_who_wait_for_room_are_told_of_it(server: Server) -> None:
    """The persistence and the publisher actor wait at the same time."""
    async with open_link(Connection(servers=(server.url,), window=2)) as link:
        room = 0

        async def wait() -> None:
            nonlocal room
            await link.until_room()
            room += 1

        with trio.fail_after(10):
            for _ in range(5):
                fill(link)
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(wait)
    assert room == 15


async def test_who_waits_for_room_is_told_when_all_was_dropped(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        async with open_link(Connection(servers=(server.url,), window=2, ack_timeout=60.0)) as link:
            fill(link)
            server.kill()
            with trio.fail_after(10):
                await link.until_room()


def fill(link: Link) -> None:
    for _ in range(20):
        link.send("$JS.API.INFO", b"", lambda _: None)
