"""The route over a lent socket: many answers are left to gather, few are taken at once, and no frame is cut."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from sagakit.jetstream.route import GATHER, MANY, SocketRoute
from trio.testing import MockClock, wait_all_tasks_blocked


class Loan:
    """Takes what was read, whatever it is; notes what was given back."""

    def __init__(self) -> None:
        self.splitter = self
        self.partial = b""
        self.pieces: list[bytes] = []
        self.left: list[bytes] = []

    def take_in(self, data: bytes) -> list[bytes]:
        self.pieces.append(data)
        return []

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
        with trio.fail_after(10):
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
        with trio.fail_after(10):
            await wait_all_tasks_blocked()
    assert loan.left == [b""]
