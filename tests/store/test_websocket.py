"""The same wire inside a WebSocket, where a proxy lets nothing else through."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from sagakit import Completed, open_runtime

from tests.sagas import BookTrip, Trip
from tests.servers import free_port, running_server

SAGAS = 50


@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")  # nats-py's to aiohttp
async def test_sagas_run_over_a_websocket(tmp_path: Path) -> None:
    port = free_port()
    ended: list[object] = []
    with running_server(tmp_path, config=f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}'):
        async with open_runtime(f"ws://127.0.0.1:{port}", sagas=[BookTrip()]) as runtime:

            async def one(number: int) -> None:
                ended.append(await runtime.execute(BookTrip, f"s{number}", Trip()))

            async with trio.open_nursery() as nursery:
                for number in range(SAGAS):
                    nursery.start_soon(one, number)
    assert ended == [Completed("tickets-Rome")] * SAGAS
