"""Tests of a relay with a client: the sagas run on workers elsewhere, and an asyncio program loads no trio."""

from __future__ import annotations

import sys

import trio
from sagakit import Completed, open_client, open_runtime, outbox

from tests.docs.blocks import ROOT
from tests.outbox.databases import Shop
from tests.outbox.mortal import place
from tests.sagas import BookTrip, Trip
from tests.servers import Server

PROGRAM = """
import asyncio, sys
from functools import partial

import sagakit.asyncio
from sagakit import outbox
from tests.outbox.databases import connect
from tests.sagas import BookTrip

address, url, namespace = sys.argv[1:]


async def main():
    async with sagakit.asyncio.open_client(url, namespace=namespace) as client:
        print(await outbox.Relay(partial(connect, address), sagas=[BookTrip]).sweep(client))


asyncio.run(main())
print("trio" in sys.modules)
"""


async def test_a_client_in_a_trio_program_relays_to_a_worker(shop: Shop, server: Server, namespace: str) -> None:
    place(shop.address, "order-7")
    async with (
        open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime,
        open_client(server.url, namespace=namespace) as client,
    ):
        relay = outbox.Relay(shop.connect, sagas=[BookTrip])
        assert await relay.sweep(client) == 1
        handle = await client.start(BookTrip, "order-7", Trip("Rome"))
        assert isinstance(await handle.outcome(), Completed)
        assert (await runtime.get(BookTrip, "order-7")).id == "order-7"
    assert shop.rows() == []


async def test_a_client_in_an_asyncio_program_without_trio_relays_to_a_worker(
    shop: Shop, server: Server, namespace: str
) -> None:
    place(shop.address, "order-7")
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        command = [sys.executable, "-c", PROGRAM, shop.address, server.url, namespace]
        done = await trio.run_process(command, cwd=ROOT, capture_stdout=True)
        assert done.stdout == b"1\nFalse\n"
        handle = await runtime.start(BookTrip, "order-7", Trip("Rome"))
        assert isinstance(await handle.outcome(), Completed)
    assert shop.rows() == []
