"""The work queue of a worker that knows several types, over a nats-py of the test's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio_asyncio
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from sagakit.errors import InternalError
from sagakit.jetstream.inbox import FETCH, FETCH_TIMEOUT, StreamInbox
from sagakit.jetstream.link import Link
from sagakit.store.names import Names
from trio.testing import MockClock


class Nats:
    """As much of a link and its client as an inbox needs: there is always something for whoever fetches."""

    on_asyncio = Link.on_asyncio
    _loop = None  # the one that is open here

    def __init__(self, fetched: Callable[[str], None] = lambda _: None) -> None:
        self.client = self
        self.fetched = fetched
        self.subscribed: int = 0

    def jetstream(self, **_: Any) -> Nats:
        return self

    async def pull_subscribe(self, subject: str, **_: Any) -> Pull:
        self.subscribed += 1
        return Pull(self, subject.removesuffix("*"))

    def tell(self, subject: str, payload: bytes, *, linger: bool = False) -> None:
        pass


class Pull:
    def __init__(self, nats: Nats, head: str) -> None:
        self._nats = nats
        self._head = head

    async def fetch(self, number: int, *, timeout: float) -> list[Msg]:
        await asyncio.sleep(timeout / 2)
        self._nats.fetched(self._head)
        nobody: Any = None
        return [Msg(nobody, f"{self._head}{n}", f"$JS.ACK.s.c.1.{n + 1}.1.1.0", b"{}") for n in range(number)]

    async def unsubscribe(self) -> None:
        self._nats.subscribed -= 1


@asynccontextmanager
async def receiving(nats: Any, *saga_types: str) -> AsyncIterator[Callable[[int], Any]]:
    """How many messages of each type are among the next ones."""
    async with trio_asyncio.open_loop(), StreamInbox(nats, Names()).receive(saga_types) as messages:

        async def taken(number: int) -> Counter[str]:
            return Counter([(await anext(messages)).saga_type for _ in range(number)])

        with trio.fail_after(60):
            yield taken


async def test_a_worker_that_is_full_loses_no_type(autojump_clock: MockClock) -> None:
    """All types find room at the same time, and all of them get what they have asked for."""
    async with receiving(Nats(), "A", "B") as taken:
        first = await taken(FETCH)
        await trio.sleep(10 * FETCH_TIMEOUT)
        assert first + await taken(5 * FETCH) == {"A": 3 * FETCH, "B": 3 * FETCH}


async def test_what_one_type_has_waiting_leaves_room_for_the_others(autojump_clock: MockClock) -> None:
    def only_a(head: str) -> None:
        if "B" in head:
            raise TimeoutError

    nats = Nats(only_a)
    async with receiving(nats, "A", "B") as taken:
        await trio.sleep(10 * FETCH_TIMEOUT)
        nats.fetched = lambda _: None
        await trio.sleep(10 * FETCH_TIMEOUT)
        assert await taken(2 * FETCH) == {"A": FETCH, "B": FETCH}


@pytest.mark.parametrize("error", [LookupError("a bug"), asyncio.CancelledError()])
async def test_fetching_that_ends_unexpectedly_is_told_to_whoever_takes(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """A supervisor begins anew; a type that nobody fetches any more would be noticed by nobody."""

    def broken(head: str) -> None:
        if "B" in head:
            raise error

    async with receiving(Nats(broken), "A", "B") as taken:
        with pytest.raises(InternalError, match="not fetched") as raised:
            await taken(10**6)
    assert raised.value.__cause__ is (error if isinstance(error, Exception) else None)


async def test_an_outage_leaves_no_subscription_behind(autojump_clock: MockClock) -> None:
    def away(_: str) -> None:
        raise ConnectionClosedError

    nats = Nats(away)
    async with receiving(nats, "A", "B") as taken:
        await trio.sleep(10 * FETCH_TIMEOUT)
        nats.fetched = lambda _: None
        assert await taken(2 * FETCH) == {"A": FETCH, "B": FETCH}
        assert nats.subscribed == 2
    assert nats.subscribed == 0
