"""Closing while the connection breaks: no error of the transport, and never one in the place of the user's."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sagakit
import sagakit.asyncio
import trio
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from sagakit.cluster.lease import OwnLease
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.nats_client import NatsClient

from tests.sagas import BookTrip
from tests.servers import Server, running_server
from tests.store.wires import to

PATIENCE = 60.0
"""Seconds that a connection gets to be closed, with all that belongs to it."""


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
    with trio.fail_after(60):
        async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()


async def test_leaving_with_an_error_raises_that_one(server: Server, namespace: str, breaks: Breaks) -> None:
    with trio.fail_after(60), pytest.raises(OfTheUser):  # noqa: PT012  # leaving is what is tested
        async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()
            raise OfTheUser


async def test_a_runtime_that_only_looks_closes_in_the_same_way(server: Server, namespace: str, breaks: Breaks) -> None:
    with trio.fail_after(60), pytest.raises(OfTheUser):  # noqa: PT012  # leaving is what is tested
        async with sagakit.open_runtime(server.url, sagas=[], namespace=namespace, adopt=False):
            breaks()
            raise OfTheUser


def test_under_asyncio_leaving_raises_nothing_of_the_transport(server: Server, namespace: str, breaks: Breaks) -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_under_asyncio_leaving_with_an_error_raises_that_one(server: Server, namespace: str, breaks: Breaks) -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace, drain_timeout=0.1):
            breaks()
            raise OfTheUser

    with pytest.raises(OfTheUser):
        asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("is_back", [False, True])
def test_a_client_that_is_closed_while_a_try_to_connect_ends_tries_no_more(
    is_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The try is cancelled in the moment in which it ends: `asyncio.wait_for` forgets the cancellation."""
    connect, tries = TcpTransport.connect, asyncio.Event()

    async def ends_when_cancelled(self: TcpTransport, *args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(TcpTransport, "connect", connect)
        tries.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await connect(self, *args, **kwargs)

    async def main() -> None:
        with running_server(tmp_path) as server:
            async with asyncio.timeout(PATIENCE), open_asyncio_wire(to(server)):
                monkeypatch.setattr(TcpTransport, "connect", ends_when_cancelled)
                server.kill()
                await tries.wait()
                if is_back:
                    server.start()
            async with asyncio.timeout(PATIENCE):
                while others := asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.wait(others)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


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
