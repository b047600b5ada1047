"""The route over a lent socket: many answers are left to gather, few are taken at once, and no frame is cut."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from nats.aio.msg import Msg
from sagakit.jetstream import route as routes
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.lent_transport import LentTransport
from sagakit.jetstream.route import GATHER, MANY, AsyncioRoute, Route, SocketRoute, find_route
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.servers import Server


class Loan:
    """Takes what was read, whatever it is; notes what was given back."""

    def __init__(self) -> None:
        self.splitter = self
        self.partial = b""
        self.pieces: list[bytes] = []
        self.left: list[bytes] = []
        self.lost: list[Exception] = []

    def take_in(self, data: bytes) -> list[bytes]:
        self.pieces.append(data)
        return []

    def lose(self, why: Exception) -> None:
        self.lost.append(why)

    def end(self, route: SocketRoute, unsent: bytes) -> None:
        self.left.append(unsent)


@asynccontextmanager
async def routed(owed: int = 0) -> AsyncIterator[tuple[socket.socket, SocketRoute, Loan]]:
    ours, servers = socket.socketpair()
    ours.setblocking(False)
    loan: Any = Loan()
    route = SocketRoute(ours, loan, range(owed))
    with servers:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(route.read)
            yield servers, route, loan
            nursery.cancel_scope.cancel()
        route.close()


@pytest.mark.parametrize("owed", [0, MANY - 1])
async def test_few_answers_are_taken_as_they_come(owed: int, mock_clock: MockClock) -> None:
    async with routed(owed) as (server, _, loan):
        for piece in (b"a", b"b", b"c"):
            server.send(piece)
            await wait_all_tasks_blocked()
        assert loan.pieces == [b"a", b"b", b"c"]


async def test_many_answers_gather_between_two_reads(mock_clock: MockClock) -> None:
    async with routed(MANY) as (server, _, loan):
        for piece in (b"a", b"b", b"c"):
            server.send(piece)
            await wait_all_tasks_blocked()
        assert loan.pieces == [b"a"]
        mock_clock.jump(GATHER)
        await wait_all_tasks_blocked()
        assert loan.pieces == [b"a", b"bc"]


async def test_several_chunks_are_read_in_one_turn(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that sagas wait for come behind pages of the inbox: with a chunk a turn they were late by many turns."""
    monkeypatch.setattr(routes, "CHUNK", 2)
    async with routed() as (server, _, loan):
        server.send(b"abcde")
        while not loan.pieces:
            await trio.lowlevel.checkpoint()
        assert loan.pieces == [b"ab", b"cd", b"e"]


async def test_a_long_read_gives_others_a_turn(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Turns(trio.abc.Instrument):
        """Counts the turns of the loop."""

        number = 0

        def before_io_wait(self, timeout: float) -> None:
            self.number += 1

    turns, read_in = Turns(), list[int]()

    def take_in(data: bytes) -> list[bytes]:
        read_in.append(turns.number)
        return []

    monkeypatch.setattr(routes, "CHUNK", 2)
    monkeypatch.setattr(routes, "TURN", -1.0)
    trio.lowlevel.add_instrument(turns)
    async with routed() as (server, _, loan):
        monkeypatch.setattr(loan, "take_in", take_in)
        server.send(b"abcde")
        await wait_all_tasks_blocked()
    assert len(set(read_in)) == len(read_in) == 3


def received_by(server: socket.socket) -> bytes:
    """Return what the kernel holds for the other end, without waiting for more."""
    server.setblocking(False)
    received = b""
    while True:
        try:
            received += server.recv(2**20)
        except BlockingIOError:
            return received


FRAMES = [b"%04d" % number * 65_536 for number in range(16)]
"""More than a socket's buffers hold."""


async def test_what_the_kernel_does_not_take_follows_in_order() -> None:
    async with routed() as (server, route, _):
        for frame in FRAMES:
            route.write(frame)
        with trio.fail_after(60):
            received = b""
            while len(received) < len(b"".join(FRAMES)):
                received += await trio.to_thread.run_sync(server.recv, 2**20)
    assert received == b"".join(FRAMES)


async def test_what_is_not_written_is_given_back() -> None:
    """nats-py writes it before anything else, so that the frame that was begun is whole."""
    async with routed() as (server, route, loan):
        for frame in FRAMES:
            route.write(frame)
        await wait_all_tasks_blocked()
        received = received_by(server)
    (left,) = loan.left
    assert left
    assert received + left == b"".join(FRAMES)


async def test_a_write_to_a_connection_that_is_lost_is_lost() -> None:
    async with routed() as (server, route, loan):
        server.close()
        route.write(b"PING\r\n")
        with trio.fail_after(60):
            await wait_all_tasks_blocked()
    assert loan.left == [b""]
    assert len(loan.lost) == 1, "nats-py is told, whatever it was"


async def test_frames_of_a_lost_connection_never_reach_the_next_one(each_loop: None, server: Server) -> None:
    """Frames, and what was read, may still be on their way to nats-py when that has connected again."""
    async with open_link(Connection(servers=(server.url,))) as link:
        heard: list[bytes] = []
        news = trio.Event()

        def hear(msg: Msg) -> None:
            heard.append(msg.data)
            news.set()

        now, before = link.client.connection_number, link.client.connection_number - 1
        await link.subscriptions.hear("echo", hear)
        link._side.there(link.client.write_frames, before, b"PUB echo 3\r\nold\r\n")
        link._side.there(link.client.write_frames, now, b"PUB echo 3\r\nnew\r\n")
        link._side.there(link.client.take_pieces, before, [b"-ERR 'no more'\r\n"])
        link._side.there(link.client.lose, before, OSError("lost"))
        with trio.fail_after(60):
            await news.wait()
        assert heard == [b"new"]
        assert link.connected
        assert not link.connection_errors.texts


async def test_a_loss_that_is_heard_before_the_route_is_known_ends_it(
    each_loop: None, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_link(Connection(servers=(server.url,))) as link:
        found: list[Route | None] = []

        async def unlucky(*args: Any) -> Route | None:
            found.append(await find_route(*args))
            if len(found) == 1:
                link._side.here(link.on_disconnected)
                link._side.here(link.on_reconnected)
            return found[-1]

        monkeypatch.setattr("sagakit.jetstream.link.find_route", unlucky)
        assert link._route is not None
        link._route.leave()
        link._regained.set()
        with trio.fail_after(60):
            await link.until_reconnected(0.0)
            assert await link.request("$JS.API.INFO", b"")
        first, second = found
        assert isinstance(first, SocketRoute)
        assert first._socket.fileno() == -1, "given back"
        assert link._route is second


class NoDescriptor(LentTransport):
    """A plain connection at rest; the system has no descriptor left to lend it with."""

    @property
    def is_plain(self) -> bool:
        return True

    @property
    def is_at_rest(self) -> bool:
        return True

    def lend(self, borrower: Any) -> Any:
        raise OSError(24, "Too many open files")


async def test_half_a_piece_stays_with_nats_py_if_its_socket_cannot_be_lent() -> None:
    class Nats:
        connection_number = 1
        is_connected = True

    client, side, owed = Nats(), object(), range(0)
    taken: list[object] = []

    class Parser:
        def lend(self, heard: object) -> None:
            taken.append(heard)

    any_client: Any = client
    any_client._transport = NoDescriptor(lambda fn, *args: None)
    parser: Any = Parser()
    any_side: Any = side
    route = await find_route(any_side, any_client, parser, owed)
    assert isinstance(route, AsyncioRoute)
    assert taken == [], "the parser has lent what it has of a message, and nobody would read on"
