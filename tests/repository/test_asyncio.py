"""The repository in an asyncio program, over nats-py alone."""

from __future__ import annotations

import asyncio

import pytest
import trio
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.jetstream.wire_reading import WireReading
from sagakit.repository import SagaRepository, Wanted
from sagakit.store import Names

from tests.repository.records import publish, put, record
from tests.servers import Server


@pytest.mark.parametrize("shards", [1, 3])
def test_an_asyncio_program_lists_and_reads(server: Server, namespace: str, shards: int) -> None:
    names = Names(namespace=namespace, shards=shards)
    trio.run(filled, server, names)
    order = ["stuck", *(f"s{number}" for number in range(19, -1, -1))]
    assert asyncio.run(listed(server, names, limit=7)) == [order[:7], order[7:14], order[14:]]
    assert asyncio.run(listed(server, names, limit=None)) == [order]


async def filled(server: Server, names: Names) -> None:
    async with open_jetstream(Connection(servers=(server.url,)), names=names) as store:
        for number in range(20):
            await put(store.state, record(f"s{number}"))
        await put(store.state, stuck := record("stuck", "stuck"))
        await publish(store, "stuck", [stuck])


async def listed(server: Server, names: Names, *, limit: int | None) -> list[list[str]]:
    async with open_asyncio_wire(Connection(servers=(server.url,))) as wire:
        repository = SagaRepository(WireReading(wire, names))
        found: list[list[str]] = []
        cursor: str | None = None
        while True:
            page = await repository.list(Wanted(), limit=limit, cursor=cursor)
            found.append([info.id for info in page.items])
            cursor = page.cursor
            if cursor is None:
                break
        assert [info.id for info in (await repository.list(Wanted(status="stuck"))).items] == ["stuck"]
        assert (await repository.get("Trip.s3")).saga_id == "s3"
        return found
