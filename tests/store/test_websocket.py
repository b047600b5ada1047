"""The same wire inside a WebSocket, where a proxy lets nothing else through."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import trio
from sagakit import Completed, open_runtime
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.ports import free_port

from tests.sagas import BookTrip, Trip
from tests.servers import running_server
from tests.store.frozen import left_for_another

SAGAS = 50


pytestmark = [
    pytest.mark.usefixtures("each_loop"),
    pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning"),  # nats-py's to aiohttp
]


def listens(port: int) -> str:
    return f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}'


async def test_sagas_run_over_a_websocket(tmp_path: Path) -> None:
    port = free_port()
    ended: list[object] = []
    with running_server(tmp_path, config=listens(port)):
        async with open_runtime(f"ws://127.0.0.1:{port}", sagas=[BookTrip()]) as runtime:

            async def one(number: int) -> None:
                ended.append(await runtime.execute(BookTrip, f"s{number}", Trip()))

            async with trio.open_nursery() as nursery:
                for number in range(SAGAS):
                    nursery.start_soon(one, number)
    assert ended == [Completed("tickets-Rome")] * SAGAS


@pytest.mark.parametrize("unsent", [0, 16 * 2**20])
async def test_a_frozen_server_is_left_for_another(unsent: int, tmp_path: Path) -> None:
    """Nor is its socket left open until it takes the rest, as aiohttp would."""
    port_a, port_b = free_port(), free_port()
    with (
        running_server(tmp_path / "a", config=listens(port_a)) as one,
        running_server(tmp_path / "b", config=listens(port_b)) as other,
    ):
        async with open_link(Connection(servers=(f"ws://127.0.0.1:{port_a}", f"ws://127.0.0.1:{port_b}"))) as link:
            await left_for_another(link, {port_a: one, port_b: other}, unsent)
    gc.collect()  # an open socket would complain, and pytest with it
