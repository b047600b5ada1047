"""Opening a store while the connection is not what it should be."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from sagakit.errors import Ambiguous, CannotConnect, Unavailable
from sagakit.jetstream import connecting, nats_options
from sagakit.jetstream import store as jetstream_store
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.connection_errors import ConnectionErrors
from sagakit.jetstream.link import Link
from sagakit.jetstream.store import open_jetstream
from sagakit.store.names import Names

from tests.servers import Server

pytestmark = pytest.mark.usefixtures("each_loop")


class Relay:
    """Between a client and a server; it can spoil what comes after the login, whose last word is a ping."""

    def __init__(self, server: Server, *, breaks: int = 0, mute: bool = False) -> None:
        self._server = server
        self._breaks = breaks
        self._mute = mute
        self.connections: int = 0

    async def serve(self, client: trio.SocketStream) -> None:
        self.connections += 1
        upstream = await trio.open_tcp_stream("127.0.0.1", self._server.port)
        async with client, upstream, trio.open_nursery() as both:
            both.start_soon(self._copy, upstream, client, both.cancel_scope)
            both.start_soon(self._copy_until_spoilt, client, upstream, both.cancel_scope)

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        try:
            async for piece in source:
                await sink.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        both.cancel()

    async def _copy_until_spoilt(
        self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        pings = 0
        while pings < 1:
            piece = await source.receive_some()
            pings += piece.count(b"PING")
            await sink.send_all(piece)
        if self.connections <= self._breaks:
            await source.receive_some()
            both.cancel()
        elif self._mute:
            async for _ in source:
                pass
        else:
            await self._copy(source, sink, both)


@asynccontextmanager
async def listening(relay: Relay) -> AsyncIterator[Connection]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield Connection(servers=(f"nats://127.0.0.1:{port}",), connect_timeout=5.0)
        nursery.cancel_scope.cancel()


async def test_a_connection_that_breaks_before_it_is_in_use_is_made_again(server: Server, namespace: str) -> None:
    """Like an overloaded server that took a login, and is past its own time for it."""
    relay = Relay(server, breaks=1)
    async with listening(relay) as connection, open_jetstream(connection, names=Names(namespace=namespace)) as store:
        revision = await store.state.create("Walk.one", b"{}")
        entry = await store.state.get("Walk.one")
    assert entry is not None
    assert (entry.revision, relay.connections) == (revision, 2)


async def test_a_connection_that_is_of_no_use_is_closed(server: Server, namespace: str) -> None:
    async with listening(Relay(server, mute=True)) as connection:
        with pytest.RaisesGroup(
            pytest.RaisesExc(CannotConnect, match="within 5 s"), allow_unwrapped=True, flatten_subgroups=True
        ):
            async with open_jetstream(connection, names=Names(namespace=namespace)):
                pass
    gc.collect()  # an open socket would complain, and pytest with it


async def test_opening_that_is_given_up_before_it_has_begun(server: Server, namespace: str) -> None:
    connection = Connection(servers=(server.url,), connect_timeout=0.0)
    with pytest.RaisesGroup(
        pytest.RaisesExc(CannotConnect, match="within 0 s"), allow_unwrapped=True, flatten_subgroups=True
    ):
        async with open_jetstream(connection, names=Names(namespace=namespace)):
            pass


ALONE = b'{"error":{"code":400,"err_code":10005,"description":"no suitable peers for placement, peer offline"}}'
"""The answer of a node that has just become the leader, and has not heard from the other nodes yet."""


class Alone:
    """Answers so for a while to whoever wants a stream; all else is the real server's answer."""

    def __init__(self, times: int) -> None:
        self.left = times
        self._request = Link.request

    async def request(self, link: Link, subject: str, *args: Any, **kwargs: Any) -> bytes:
        if "STREAM.CREATE" in subject and self.left:
            self.left -= 1
            return ALONE
        return await self._request(link, subject, *args, **kwargs)


async def test_buckets_are_made_once_the_nodes_have_found_each_other(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Alone(times=3)
    monkeypatch.setattr(Link, "request", lambda *args, **kwargs: alone.request(*args, **kwargs))
    monkeypatch.setattr(jetstream_store, "AGAIN", 0.001)
    async with open_jetstream(Connection(servers=(server.url,)), names=Names(namespace=namespace)) as store:
        assert await store.state.create("Walk.one", b"{}") > 0
    assert alone.left == 0


class AwayOnce:
    """A cluster whose metadata leader is away for one of the requests that make a stream."""

    def __init__(self, number: int) -> None:
        self.made: list[str] = []
        self._number = number
        self._request = Link.request

    async def request(self, link: Link, subject: str, *args: Any, **kwargs: Any) -> bytes:
        if "STREAM.CREATE" in subject:
            self.made.append(subject.rpartition(".")[2])
            if len(self.made) == self._number:
                raise Ambiguous("no answer in time")
        return await self._request(link, subject, *args, **kwargs)


@pytest.mark.parametrize("number", range(1, 12))
async def test_a_layout_is_made_whole_though_the_leader_was_away_in_between(
    number: int, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was written down, nobody but `sagakit setup` made the rest."""
    away = AwayOnce(number)
    monkeypatch.setattr(Link, "request", lambda *args, **kwargs: away.request(*args, **kwargs))
    monkeypatch.setattr(jetstream_store, "AGAIN", 0.001)
    names = Names(namespace=namespace)
    async with open_jetstream(Connection(servers=(server.url,)), names=names) as store:
        await store.commands.check()
        await store.check_values()
    wanted = {names.commands, names.intake, names.inbox, names.dead, *names.events}
    wanted |= {
        f"KV_{name}" for name in (names.meta, names.workers, names.jobs, names.values, *names.state, *names.archive)
    }
    assert set(away.made) == wanted
    assert len(away.made) == len(wanted) + 1, "one was asked for twice, and no other"


async def test_servers_that_stay_away_are_named_as_what_is_missing(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Alone(times=10**9)
    monkeypatch.setattr(Link, "request", lambda *args, **kwargs: alone.request(*args, **kwargs))
    monkeypatch.setattr(jetstream_store, "ELECTED_WITHIN", 0.0)
    connection = Connection(servers=(server.url,), connect_timeout=1.0)
    text = "offline: start the servers that are missing, or ask for fewer replicas than 1"
    with pytest.RaisesGroup(pytest.RaisesExc(Unavailable, match=text), flatten_subgroups=True):
        async with open_jetstream(connection, names=Names(namespace=namespace)):
            pass


async def test_a_host_whose_name_is_refused_late_is_one_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that resolves the name ends only after opening was given up: its error is not another one.

    Nor is it in the log.
    """
    given_up = threading.Event()

    def resolve(*args: object, **options: object) -> list[object]:
        given_up.wait(60)
        raise socket.gaierror(-2, "Name or service not known")

    def why_not(connection: Connection, errors: ConnectionErrors) -> CannotConnect:
        given_up.set()
        return nats_options.why_not(connection, errors)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(connecting, "why_not", why_not)
    text = r"no NATS server answered at nats://no\.such\.host"
    with pytest.RaisesGroup(pytest.RaisesExc(CannotConnect, match=text), allow_unwrapped=True, flatten_subgroups=True):
        async with open_jetstream(Connection(servers=("nats://no.such.host",), connect_timeout=0.2), names=Names()):
            pass
    gc.collect()  # asyncio logs an error of a task that nobody looks at when the task goes
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
