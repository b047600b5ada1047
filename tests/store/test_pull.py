"""The pull consumer asks for its next page before the server has sent the whole one before it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from sagakit.jetstream.parser import Delivery
from sagakit.jetstream.pull import Consumer, Pull
from sagakit.jetstream.wire import stored_at

Clock = trio.testing.MockClock
CONSUMER = Consumer(stream="S", name="C", filters=["x.>"], ack_wait=4.0, max_ack_pending=100, page=4)


class Server:
    """A link to a server that sends nothing by itself; notes the sizes of the pages that it is asked for."""

    max_payload = 1_000
    reconnected_at = 0.0

    def __init__(self) -> None:
        self.subscriptions = self
        self.asked: list[int] = []
        self._take: Callable[[Delivery], None]

    async def until_connected(self) -> None:
        await trio.lowlevel.checkpoint()

    async def until_reconnected(self, since: float) -> None:
        await trio.sleep_forever()

    async def request(self, subject: str, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"{}"

    def tell(self, subject: str, payload: bytes, *, reply: str) -> None:
        self.asked.append(json.loads(payload)["batch"])

    @asynccontextmanager
    async def diverted(self, take: Callable[[Delivery], None]) -> AsyncIterator[str]:
        self._take = take
        yield "inbox"

    async def sends(self, number: int, *, reply: str = "$JS.ACK.S.C.1.1.1.1.0") -> None:
        for _ in range(number):
            self._take(Delivery("x.y", reply, b"", b"payload"))
        await trio.testing.wait_all_tasks_blocked()

    async def says(self, words: str, *, unsent: int | None) -> None:
        pending = "" if unsent is None else f"Nats-Pending-Messages: {unsent}\r\n"
        self._take(Delivery("inbox", "", f"NATS/1.0 {words}\r\n{pending}\r\n".encode(), b""))
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def pulled(at_most: int = 1_000) -> AsyncIterator[tuple[Server, list[Delivery]]]:
    """Take as many messages as come, `at_most` of them."""
    server: Any = Server()
    taken: list[Delivery] = []

    async def take() -> None:
        async with aclosing(Pull(server, CONSUMER).deliveries()) as deliveries:
            async for delivery in deliveries:
                taken.append(delivery)
                if len(taken) == at_most:
                    await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        yield server, taken
        nursery.cancel_scope.cancel()


async def test_the_next_page_is_asked_for_while_half_of_one_is_owed(autojump_clock: Clock) -> None:
    """A flood once waited at the server, a whole round of the worker's tasks for each page."""
    async with pulled() as (server, taken):
        assert server.asked == [4]
        await server.sends(1)
        assert server.asked == [4]
        await server.sends(1)
        assert server.asked == [4, 4]
        await server.sends(6)
        assert (len(taken), server.asked) == (8, [4, 4, 4])


@pytest.mark.parametrize("reply", ["odd", "$JS.ACK.S.C.1", "$JS.ACK.OTHER.C.1.1.1.1.0", "$JS.ACK.S.OTHER.1.1.1.1.0"])
async def test_what_the_consumer_has_not_handed_out_is_not_taken(reply: str, autojump_clock: Clock) -> None:
    async with pulled() as (server, taken):
        await server.sends(4, reply=reply)
        assert (taken, server.asked) == ([], [4])


@pytest.mark.parametrize(
    "reply", ["$JS.ACK.S.C.1.1.1.1.0", "$JS.ACK.hub.x9.S.C.1.1.1.1.0", "$JS.ACK._.x9.S.C.1.1.1.1.0.r7"]
)
async def test_what_the_consumer_has_handed_out_is_taken_also_from_another_domain(
    reply: str, autojump_clock: Clock
) -> None:
    async with pulled() as (server, taken):
        await server.sends(1, reply=reply)
        assert [delivery.reply for delivery in taken] == [reply]
        assert stored_at(reply) == (1, 1e-9)


async def test_no_page_is_asked_for_while_messages_are_not_taken(autojump_clock: Clock) -> None:
    async with pulled(at_most=1) as (server, taken):
        await server.sends(4)
        assert (len(taken), server.asked) == (1, [4])


@pytest.mark.parametrize("words", ["408 Request Timeout", "409 Message Size Exceeds MaxBytes", "404 No Messages"])
async def test_messages_that_a_request_ends_without_are_asked_for_again(words: str, autojump_clock: Clock) -> None:
    async with pulled() as (server, _):
        await server.sends(1)
        await server.says(words, unsent=3)
        assert server.asked == [4, 4]


async def test_an_end_that_names_no_number_ends_all_requests(autojump_clock: Clock) -> None:
    async with pulled() as (server, _):
        await server.sends(2)
        await server.says("408 Request Timeout", unsent=None)
        assert server.asked == [4, 4, 4]


async def test_a_request_that_has_brought_all_its_messages_is_not_counted_twice(autojump_clock: Clock) -> None:
    async with pulled() as (server, _):
        await server.sends(4)
        await server.says("409 Batch Completed", unsent=0)
        assert server.asked == [4, 4]
