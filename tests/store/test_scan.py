"""Scans of a real stream: several pages, and what is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.scan import PAGE
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.store.names import Names
from sagakit.store.ports import Write

from tests.servers import Server

KEYS = [f"Walk.{number:05}" for number in range(2 * PAGE + PAGE // 2)]


@asynccontextmanager
async def filled(server: Server, namespace: str) -> AsyncIterator[JetStreamStore]:
    connection = Connection(servers=(server.url,))
    async with open_jetstream(connection, names=Names(namespace=namespace)) as store:
        await write(store, KEYS, b"old", 0)
        yield store


async def write(store: JetStreamStore, keys: list[str], value: bytes, expected: int | None) -> None:
    acknowledged = trio.Event()
    left = len(keys)

    def done(result: object) -> None:
        nonlocal left
        assert isinstance(result, int), result
        left -= 1
        if not left:
            acknowledged.set()

    for key in keys:
        store.state.submit(Write(key, value, expected), done)
    with trio.fail_after(30):
        await acknowledged.wait()


async def test_every_key_once_in_several_pages(server: Server, namespace: str) -> None:
    async with filled(server, namespace) as store:
        assert await store.state.keys("Walk") == KEYS
        assert await store.state.keys("Run") == []
        await store.state.delete(KEYS[7])
        assert await store.state.keys() == KEYS[:7] + KEYS[8:]


async def test_what_is_replaced_meanwhile_is_left_out_and_holds_nothing_up(server: Server, namespace: str) -> None:
    async with filled(server, namespace) as store:
        found: list[str] = []
        began = trio.current_time()
        async with store.state.entries("Walk") as entries:
            async for entry in entries:
                assert entry.value == b"old"
                found.append(entry.key)
                if len(found) == 10:
                    await write(store, KEYS[PAGE // 2 :], b"new", None)
        assert trio.current_time() - began < 30
    assert len(found) == len(set(found))
    assert found[: PAGE // 2] == KEYS[: PAGE // 2], "what was not replaced is there"


async def test_what_is_removed_meanwhile_holds_nothing_up(server: Server, namespace: str) -> None:
    """What a page lacks will never come."""
    async with filled(server, namespace) as store:
        found: list[str] = []
        began = trio.current_time()
        async with store.state.entries("Walk") as entries:
            async for entry in entries:
                found.append(entry.key)
                if len(found) == 10:
                    await store._link.request(f"$JS.API.STREAM.PURGE.KV_{store.names.state[0]}", b"")
        assert trio.current_time() - began < 30
    assert found == KEYS[: len(found)]
    assert PAGE <= len(found) < len(KEYS)


async def test_a_consumer_is_not_left_behind(server: Server, namespace: str) -> None:
    async with filled(server, namespace) as store:
        async with store.state.entries("Walk") as entries:
            await anext(aiter(entries))
        await store.state.keys("Walk")
        answer = await store._link.request(f"$JS.API.CONSUMER.NAMES.KV_{store.names.state[0]}", b"")
    assert b'"total":0' in answer
