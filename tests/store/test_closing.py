"""Closing while the connection breaks: no error of the transport, and never one in the place of the user's."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import pytest
import sagakit
import sagakit.asyncio
import trio
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from sagakit.cluster.lease import OwnLease
from sagakit.jetstream.nats_client import NatsClient

from tests.sagas import BookTrip
from tests.servers import Server


class OfTheUser(Exception):
    pass


Breaks = Callable[[], None]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Breaks:
    """Once called, whatever is written is answered by a reset, as by a server that has just gone."""
    close = NatsClient._close

    async def drain(self: TcpTransport) -> None:
        raise ConnectionResetError("Connection lost")

    async def unsubscribe(self: Subscription, limit: int = 0) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    async def closing(self: NatsClient, *args: Any) -> None:
        if self.is_connected:
            self._pending, self._pending_data_size = [b"PING\r\n"], 6
        await close(self, *args)

    def now() -> None:
        monkeypatch.setattr(TcpTransport, "drain", drain)
        monkeypatch.setattr(Subscription, "unsubscribe", unsubscribe)
        monkeypatch.setattr(NatsClient, "_close", closing)

    return now


async def test_leaving_after_the_connection_broke_raises_nothing(
    server: Server, namespace: str, breaks: Breaks
) -> None:
    with trio.fail_after(30):
        async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()


async def test_leaving_with_an_error_raises_that_one(server: Server, namespace: str, breaks: Breaks) -> None:
    with trio.fail_after(30), pytest.raises(OfTheUser):  # noqa: PT012  # leaving is what is tested
        async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()
            raise OfTheUser


async def test_a_runtime_that_only_looks_closes_in_the_same_way(server: Server, namespace: str, breaks: Breaks) -> None:
    with trio.fail_after(30), pytest.raises(OfTheUser):  # noqa: PT012  # leaving is what is tested
        async with sagakit.open_runtime(server.url, sagas=[], namespace=namespace, adopt=False):
            breaks()
            raise OfTheUser


def test_under_asyncio_leaving_raises_nothing_of_the_transport(server: Server, namespace: str, breaks: Breaks) -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_under_asyncio_leaving_with_an_error_raises_that_one(server: Server, namespace: str, breaks: Breaks) -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()
            raise OfTheUser

    with pytest.raises(OfTheUser):
        asyncio.run(asyncio.wait_for(main(), 30))


def test_under_asyncio_the_users_error_wins_over_a_worker_that_breaks_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaking(self: OwnLease, *, left: bool) -> None:
        raise LookupError("planted")

    monkeypatch.setattr(OwnLease, "hand_back", breaking)

    async def main() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]):
            raise OfTheUser

    with pytest.raises(OfTheUser):
        asyncio.run(main())
    assert "the runtime broke down: LookupError('planted')" in caplog.text
