"""A connection's window and its socket: whoever waits for room gets it, and who reads is known."""

from __future__ import annotations

import asyncio
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from nats.aio.client import Client
from nats.aio.msg import Msg
from sagakit import Config
from sagakit.errors import TooLarge
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link import Link
from sagakit.jetstream.nats_options import CONNECT_TRY, PING_EVERY, PINGS_OWED
from sagakit.jetstream.parser import Delivery

from tests.servers import Server, running_server
from tests.store.frozen import Impostor, LatePongs, OneWay, Pongless, Unsteady, left_for_another, relaying

pytestmark = pytest.mark.usefixtures("each_loop")


async def test_all_who_wait_for_room_are_told_of_it(server: Server) -> None:
    """The persistence and the publisher actor wait at the same time."""
    async with open_link(Connection(servers=(server.url,), max_unacked=2)) as link:
        room = 0

        async def wait() -> None:
            nonlocal room
            await link.until_room()
            room += 1

        with trio.fail_after(60):
            for _ in range(5):
                fill(link)
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(wait)
    assert room == 15


async def test_who_waits_for_room_is_told_when_all_was_dropped(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        async with open_link(Connection(servers=(server.url,), max_unacked=2, ack_timeout=60.0)) as link:
            fill(link)
            server.kill()
            with trio.fail_after(60):
                await link.until_room()


async def test_who_waits_for_room_is_told_when_what_wants_no_answer_is_sent(server: Server) -> None:
    async with open_link(Connection(servers=(server.url,), max_unacked=2)) as link:
        for _ in range(5):
            link.tell("a", b"", linger=True)
        with trio.fail_after(60):
            await link.until_room()


async def test_who_waits_for_room_is_told_when_the_time_of_what_was_queued_is_over(server: Server) -> None:
    async with open_link(Connection(servers=(server.url,), max_unacked=2, ack_timeout=0.1)) as link:
        await link.subscriptions.hear("mute", ignore)
        for _ in range(20):
            link.pump.send("mute", b"", lambda _: None)
        with trio.fail_after(60):
            await link.until_room()


async def test_what_lingers_goes_before_what_comes_after_it_and_alone_if_nothing_does(server: Server) -> None:
    async with open_link(Connection(servers=(server.url,))) as link:
        with trio.fail_after(60):
            assert await arrivals(link, "lingers") == ["lingers"]
            assert await arrivals(link, "lingers", "at once", "lingers") == ["lingers", "at once", "lingers"]


async def test_on_an_idle_link_what_may_not_linger_is_sent_at_once(server: Server) -> None:
    async with open_link(Connection(servers=(server.url,))) as link:
        await trio.testing.wait_all_tasks_blocked()
        before = link.sent
        link.tell("a", b"", linger=True)
        assert link.sent == before
        await trio.testing.wait_all_tasks_blocked()
        link.tell("b", b"")
        assert link.sent == before + 2, "an answer to a request, for one"


async def test_what_is_too_large_is_refused_later_also_on_an_idle_link(server: Server) -> None:
    async with open_link(Connection(servers=(server.url,))) as link:
        told: list[Any] = []
        link.pump.send("a", b"x" * (link.max_payload + 1), told.append)
        assert told == [], "never while it is being sent"
        with trio.fail_after(60):
            while not told:
                await trio.lowlevel.checkpoint()
        assert isinstance(told[0], TooLarge)


async def test_asyncio_does_not_read_a_plain_connection_nor_the_next_one(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        async with open_link(Connection(servers=(server.url,))) as link:
            await until_asyncio_reads(link, False)
            server.kill()
            with trio.fail_after(60):
                while link.connected:  # noqa: ASYNC110  # the link tells of the other direction only
                    await trio.sleep(0.01)
            await trio.to_thread.run_sync(server.start)
            await link.until_reconnected(0.0)
            await until_asyncio_reads(link, False)
            assert await link.request("$JS.API.INFO", b"")


def test_a_frozen_server_is_noticed_before_a_lease_ends() -> None:
    """The lease was renewed a third of the ttl ago, and the first of the other servers does not answer either (P12)."""
    ttl, noticed = Config().lease_ttl, PING_EVERY * (PINGS_OWED + 1)
    assert ttl / 3 + noticed + CONNECT_TRY < ttl


@pytest.mark.parametrize("unsent", [0, 16 * 2**20])
async def test_a_frozen_server_is_left_for_another(
    unsent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P12: what the kernel did not take any more must not hold it up, nor is the frozen one the first to be tried."""
    monkeypatch.setattr("sagakit.jetstream.nats_client.shuffle", list.reverse)
    with running_server(tmp_path / "a") as one, running_server(tmp_path / "b") as other:
        async with open_link(Connection(servers=(one.url, other.url))) as link:
            await left_for_another(link, {one.port: one, other.port: other}, unsent)


async def test_a_server_that_answers_is_there_whatever_becomes_of_its_pongs(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pongs wait behind megabytes of answers on a slow network: to begin anew would send it all again, forever."""
    monkeypatch.setattr("sagakit.jetstream.nats_options.PING_EVERY", 0.25)  # the link leaves after three without a word
    async with relaying(Pongless(server)) as relay, open_link(Connection(servers=(relay.url,))) as link:
        relay.begins = True
        with trio.fail_after(60):
            while relay.kept < 2 * PINGS_OWED:
                assert await link.request("$JS.API.INFO", b"")
        assert link.reconnected_at == -inf


async def test_a_server_that_hears_nothing_is_left_whatever_comes_from_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network swallows what we say, and only that: nothing of ours would ever be answered."""
    monkeypatch.setattr("sagakit.jetstream.nats_options.PING_EVERY", 0.02)
    async with (
        relaying(OneWay(server)) as relay,
        open_link(Connection(servers=(relay.url,))) as link,
        open_link(Connection(servers=(server.url,))) as other,
        trio.open_nursery() as nursery,
    ):

        async def tell() -> None:
            while True:
                other.tell("news", b"")
                assert await other.request("$JS.API.INFO", b"")

        await link.subscriptions.hear("news", ignore)
        assert await link.request("$JS.API.INFO", b"")
        nursery.start_soon(tell)
        relay.begins = True
        with trio.fail_after(60):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")
        nursery.cancel_scope.cancel()


async def test_a_pong_that_comes_late_is_no_trouble(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its waiter has gone: a flush while opening was given up."""
    async with relaying(LatePongs(server)) as relay, open_link(Connection(servers=(relay.url,))) as link:
        relay.holds = True
        with monkeypatch.context() as impatient:
            impatient.setattr("sagakit.jetstream.nats_client.FLUSH_TRY", 0.01)
            assert not await link.on_asyncio(link.client.answers)
        relay.holds = False
        assert await link.request("$JS.API.INFO", b"")
        assert await link.on_asyncio(link.client.answers)
    assert caplog.text == ""


async def test_a_client_that_reads_no_more_begins_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py stays connected, and takes in nothing, after an error that it does not know."""
    monkeypatch.setattr("sagakit.jetstream.nats_options.PING_EVERY", 1000)  # else they would find it out
    async with open_link(Connection(servers=(server.url,))) as link:
        reading = link.client._reading_task
        assert reading is not None
        reading.cancel()
        with trio.fail_after(60):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")


@pytest.mark.parametrize("answer", [b"x" * 100_000, b"INFO []\r\n", b'INFO {"connect_urls":7}\r\n', b"\xff\r\n"])
async def test_whatever_answers_on_the_port_the_server_is_found_again(answer: bytes, server: Server) -> None:
    """A balancer's error page, say, while the server is away."""
    async with relaying(Impostor(server, answer)) as relay, open_link(Connection(servers=(relay.url,))) as link:
        relay.begins = True
        link.tell("x", b"")
        with trio.fail_after(60):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")
        assert relay.connections == 3


async def test_a_connection_that_is_given_up_leaves_nothing_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection was made, but its first flush was not answered: its tasks went on, on the next one."""
    monkeypatch.setattr(Client.flush, "__defaults__", (0.05,))
    async with relaying(Unsteady(server)) as relay, open_link(Connection(servers=(relay.url,))) as link:
        before = await link.on_asyncio(tasks_of_nats)
        relay.begins = True
        link.tell("x", b"")
        with trio.fail_after(60):
            await link.until_reconnected(0.0)
            assert relay.connections == 4
            while relay.open > 1:
                await trio.lowlevel.checkpoint()
        assert await link.request("$JS.API.INFO", b"")
        assert await link.on_asyncio(tasks_of_nats) == before


async def tasks_of_nats() -> list[str]:
    names = [str(getattr(task.get_coro(), "__qualname__", "")) for task in asyncio.all_tasks()]
    return sorted(name for name in names if "Client." in name)


def ignore(msg: Msg) -> None:
    pass


def fill(link: Link) -> None:
    for _ in range(20):
        link.pump.send("$JS.API.INFO", b"", lambda _: None)


async def arrivals(link: Link, *messages: str) -> list[str]:
    """Send them to ourselves in one go; in which order they come, which is the order of the wire."""
    found: list[str] = []
    complete = trio.Event()

    def note(delivery: Delivery) -> None:
        found.append(delivery.payload.decode())
        if len(found) == len(messages):
            complete.set()

    async with link.subscriptions.diverted(note) as subject:
        assert await link.request("$JS.API.INFO", b"")  # the server knows of the subscription
        for message in messages:
            link.tell(subject, message.encode(), linger=message == "lingers")
        await complete.wait()
    return found


async def until_asyncio_reads(link: Link, reads: bool) -> None:
    client: Any = link.client
    with trio.fail_after(60):
        while client._transport._io_writer.transport.is_reading() is not reads:  # noqa: ASYNC110  # it tells nobody
            await trio.sleep(0.01)
