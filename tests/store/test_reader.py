"""The reader of the link's socket: many answers are left to gather, few are taken at once."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from sagakit.jetstream.parser import AnswerParser
from sagakit.jetstream.reader import GATHER, MANY, SocketReader
from trio.testing import MockClock, wait_all_tasks_blocked


class Taken(AnswerParser):
    """Takes what was read, whatever it is."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def take_in(self, data: bytes) -> list[bytes]:
        self.pieces.append(data)
        return []


@asynccontextmanager
async def reading(owed: int) -> AsyncIterator[tuple[socket.socket, Taken]]:
    async def never(*_: Any) -> None:
        raise AssertionError("nothing here is for nats-py")

    ours, servers = socket.socketpair()
    ours.setblocking(False)
    reader = SocketReader(SimpleNamespace(is_connected=True), never)  # type: ignore[arg-type]  # all that it looks at
    taken = Taken()
    with ours, servers:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader._read, ours.fileno(), taken, range(owed))
            yield servers, taken
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("owed", [0, MANY - 1])
async def test_few_answers_are_taken_as_they_come(owed: int, mock_clock: MockClock) -> None:
    async with reading(owed) as (server, taken):
        for piece in (b"a", b"b", b"c"):
            server.send(piece)
            await wait_all_tasks_blocked()
        assert taken.pieces == [b"a", b"b", b"c"]


async def test_many_answers_gather_between_two_reads(mock_clock: MockClock) -> None:
    async with reading(MANY) as (server, taken):
        for piece in (b"a", b"b", b"c"):
            server.send(piece)
            await wait_all_tasks_blocked()
        assert taken.pieces == [b"a"]
        mock_clock.jump(GATHER)
        await wait_all_tasks_blocked()
        assert taken.pieces == [b"a", b"bc"]
