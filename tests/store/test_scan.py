"""Scans of a real stream: several pages, and what is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import trio
import trio.testing
from sagakit.errors import Unavailable
from sagakit.jetstream import puller
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link import Link
from sagakit.jetstream.puller import PAGE
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.store.names import Names
from sagakit.store.ports import Cursor, Write

from tests.servers import Server, running_server

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
    with trio.fail_after(60):
        await acknowledged.wait()


async def test_every_key_once_in_several_pages(server: Server, namespace: str) -> None:
    async with filled(server, namespace) as store:
        assert await store.state.keys("Walk") == KEYS
        assert await store.state.keys("Run") == []
        await store.state.delete(KEYS[7])
        assert await store.state.keys() == KEYS[:7] + KEYS[8:]


async def scanned(store: JetStreamStore, meanwhile: Callable[[], Awaitable[object]]) -> list[str]:
    """The keys that a scan finds if that is done while its first page is looked at; it must not be held up."""
    found: list[str] = []
    with trio.fail_after(60):
        async with store.state.entries("Walk") as entries:
            async for entry in entries:
                assert entry.value == b"old"
                found.append(entry.key)
                if len(found) == 10:
                    await meanwhile()
    return found


async def test_what_is_replaced_meanwhile_is_left_out(server: Server, namespace: str) -> None:
    async with filled(server, namespace) as store:
        found = await scanned(store, partial(write, store, KEYS[PAGE // 2 :], b"new", None))
    assert len(found) == len(set(found))
    assert found[: PAGE // 2] == KEYS[: PAGE // 2], "what was not replaced is there"


async def test_what_is_removed_meanwhile_is_not_waited_for(server: Server, namespace: str) -> None:
    """A message that a page lacks will never come."""
    async with filled(server, namespace) as store:
        purge = f"$JS.API.STREAM.PURGE.KV_{store.names.state[0]}"
        found = await scanned(store, partial(store._link.request, purge, b""))
    assert found == KEYS[: len(found)]
    assert PAGE <= len(found) < len(KEYS)


async def test_a_scan_whose_connection_is_lost_is_broken_off(tmp_path: Path, namespace: str) -> None:
    with running_server(tmp_path) as own:
        async with filled(own, namespace) as store:

            async def lose_it() -> None:
                await trio.testing.wait_all_tasks_blocked(0.03)  # the second page has come, the third is not asked for
                own.kill()
                while store.connected:  # noqa: ASYNC110  # the store tells of the other direction only
                    await trio.sleep(0.01)

            with pytest.raises(Unavailable, match="broken off"):
                await scanned(store, lose_it)


async def test_a_cursor_goes_no_further_than_what_was_given_out(server: Server, namespace: str) -> None:
    """On a cluster the consumer may live where the stream lags behind: the rest comes with the next scan."""
    async with filled(server, namespace) as store:
        last = await store.state.put(KEYS[0], b"new")
        await store.state.put("Run.1", b"beyond it")
        cursor = Cursor()
        async with store.state.entries("Walk", after=cursor) as entries:
            assert len([entry async for entry in entries]) == len(KEYS)
        assert list(cursor.reached.values()) == [last]


async def test_a_consumer_is_not_left_behind(server: Server, namespace: str) -> None:
    async with filled(server, namespace) as store:
        async with store.state.entries("Walk") as entries:
            await anext(aiter(entries))
        await store.state.keys("Walk")
        with trio.fail_after(60):  # nobody waits for the removal
            while b'"total":0' not in await store._link.request(names_of_consumers(store), b""):
                await trio.lowlevel.checkpoint()


def names_of_consumers(store: JetStreamStore) -> str:
    return f"$JS.API.CONSUMER.NAMES.KV_{store.names.state[0]}"


async def test_a_page_that_nobody_has_heard_of_is_asked_for_again(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer was made, but where it lives it does not listen yet: the server answers 503 for it."""
    tell, unheard = Link.tell, [0, 1, 3]  # the first page twice, and a later one
    asked = count()

    def astray(self: Link, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "") -> None:
        if ".CONSUMER.MSG.NEXT." in subject and next(asked) in unheard:
            subject += "-that-is-not-there"
        tell(self, subject, payload, headers=headers, reply=reply)

    monkeypatch.setattr(Link, "tell", astray)
    async with filled(server, namespace) as store:
        assert await store.state.keys("Walk") == KEYS
    assert next(asked) > len(unheard) + 2


async def test_a_consumer_that_nobody_ever_hears_of_breaks_the_scan_off(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puller, "SILENCE", 0.2)
    tell = Link.tell

    def astray(self: Link, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "") -> None:
        away = ".CONSUMER.MSG.NEXT." in subject
        tell(self, subject + "-that-is-not-there" if away else subject, payload, headers=headers, reply=reply)

    monkeypatch.setattr(Link, "tell", astray)
    async with filled(server, namespace) as store:
        with pytest.raises(Unavailable, match=r"the scan was broken off: NATS/1\.0 503"):
            await store.state.keys("Walk")
