"""The route that frames take on one connection, and who reads it.

Over plain TCP trio reads and writes the socket itself (`SocketRoute`): asyncio takes three turns of the loop for a
read, and in another thread each answer would wait for the interpreter's lock. TLS and WebSockets stay with nats-py's
transport (`AsyncioRoute`): a batch of frames crosses as one piece, and so do the answers of one read.

A route belongs to one connection and ends with it. What is written to a route whose connection was lost is lost, too;
it never gets onto the next connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sized
from functools import partial
from logging import getLogger
from typing import Protocol

import nats.errors
import trio

from sagakit.jetstream.asyncio_side import AsyncioSide
from sagakit.jetstream.lent_transport import LentTransport
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.parser import AnswerParser, Splitter

_log = getLogger("sagakit.link")

CHUNK = 256 * 1024
"""Bytes that are read at once."""
TURN = 0.003
"""Seconds of reading without a turn for others. In a busy loop a turn takes long, and the answers that sagas wait for
come behind whole pages of the inbox: with one chunk a turn they would be late by as many turns."""
MANY = 200
"""Answers that are owed from which on they are left to gather between two reads."""
GATHER = 0.001
"""Seconds that they are left: a turn of the loop for a handful of them would take the core that the server wants."""
LOOK = 0.001
"""Seconds between looks whether nats-py has come to rest."""


class Route(Protocol):
    """The route of one connection. For the trio thread."""

    def write(self, frames: bytes) -> None:
        """Write whole frames. What the kernel does not take at once is buffered."""
        ...

    async def read(self) -> None:
        """Take in what comes. Return when the connection has ended, or after `leave`."""
        ...

    def leave(self) -> None:
        """End `read`: nats-py has lost the connection, or the link closes."""
        ...

    def close(self) -> None:
        """Give back what nats-py has lent."""
        ...


class AsyncioRoute:
    """The route over a transport of nats-py's, on the asyncio side."""

    def __init__(self, side: AsyncioSide, client: NatsClient) -> None:
        self._side = side
        self._client = client
        self._connection = client.connection_number
        self._left = trio.Event()

    def write(self, frames: bytes) -> None:
        """Hand frames over, all in one."""
        self._side.there(self._client.write_frames, self._connection, frames)

    async def read(self) -> None:
        """Wait for the end: nats-py reads by itself, and its parser hands the answers over."""
        await self._left.wait()

    def leave(self) -> None:
        """End `read`."""
        self._left.set()

    def close(self) -> None:
        """Do nothing: nothing was lent."""


class SocketRoute:
    """The route over a plain socket that nats-py has lent."""

    def __init__(self, sock: socket.socket, loan: _Loan, owed: Sized) -> None:
        self._socket = sock
        self._loan = loan
        self._owed = owed
        """The answers that are still to come."""
        self._unsent = bytearray()
        """The end of what was written, which the kernel has not taken yet."""
        self._stuck: trio.Event | None = None
        self._scope = trio.CancelScope()

    def write(self, frames: bytes) -> None:
        """Write at once if the kernel takes it. A write to a connection that is being lost is lost with it."""
        sent = 0
        if not self._unsent:  # else it would overtake what waits
            try:
                sent = self._socket.send(frames)
            except BlockingIOError:
                pass
            except OSError:  # reading meets it, too, and that is where the connection ends
                return
            if sent == len(frames):
                return
        self._unsent += memoryview(frames)[sent:]
        if self._stuck is not None:
            self._stuck.set()

    async def read(self) -> None:
        """Read the socket, and write what is left over, until the connection ends."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_rest)
                self._loan.lose(await self._read())
                nursery.cancel_scope.cancel()

    async def _write_rest(self) -> None:
        while True:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                try:
                    del self._unsent[: self._socket.send(self._unsent)]
                except BlockingIOError:
                    continue
                except OSError:
                    return
            self._stuck = trio.Event()
            await self._stuck.wait()

    async def _read(self) -> Exception:
        """Read until the connection ends, and return why."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            until = trio.current_time() + TURN
            while True:
                try:
                    data = self._socket.recv(CHUNK)
                except BlockingIOError:
                    break
                except OSError as error:
                    return error
                if not data:
                    return nats.errors.UnexpectedEOF()
                self._take_in(data)
                if len(data) < CHUNK or trio.current_time() > until:
                    break
            if len(self._owed) >= MANY:
                await trio.sleep(GATHER)

    def _take_in(self, data: bytes) -> None:
        rest = self._loan.splitter.take_in(data)
        if rest:
            self._loan.hand_on(rest)

    def leave(self) -> None:
        """End `read`."""
        self._scope.cancel()

    def close(self) -> None:
        """Give the socket back, with what is not written yet."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        self._loan.end(self, bytes(self._unsent))
        self._unsent.clear()


async def find_route(side: AsyncioSide, client: NatsClient, parser: AnswerParser, owed: Sized) -> Route | None:
    """Return the route of the present connection; None if it is lost meanwhile. Runs on the asyncio side.

    A plain socket is lent in a moment in which nothing of nats-py's is under way.
    """
    connection = client.connection_number
    while client.is_connected and client.connection_number == connection:
        transport = client._transport
        if not isinstance(transport, LentTransport) or not transport.is_plain:
            return AsyncioRoute(side, client)
        if transport.is_at_rest:
            try:
                # the loan takes what the parser has of half a piece, so it is made when there is a descriptor for it
                return transport.lend(partial(_borrow, side, client, transport, parser, owed))
            except OSError as error:  # no descriptor is left
                _log.warning("nats-py reads the connection by itself, which is slower: %s", error)
                return AsyncioRoute(side, client)
        await asyncio.sleep(LOOK)
    return None


def _borrow(
    side: AsyncioSide,
    client: NatsClient,
    transport: LentTransport,
    parser: AnswerParser,
    owed: Sized,
    sock: socket.socket,
) -> SocketRoute:
    return SocketRoute(sock, _Loan(side, client, transport, parser), owed)


class _Loan:
    """The bond between a `SocketRoute` and nats-py's client. Made on the asyncio side, used on trio's."""

    def __init__(self, side: AsyncioSide, client: NatsClient, transport: LentTransport, parser: AnswerParser) -> None:
        self._side = side
        self._client = client
        self._connection = client.connection_number
        self._transport = transport
        self._parser = parser
        self.splitter: Splitter = parser.lend(self._heard)

    def _heard(self) -> None:
        # nats-py counts its pings on the asyncio side, so it is told there; at most as often as it asks, once a second.
        if self._client._pings_outstanding:
            self._side.there(self._client.heard)

    def hand_on(self, pieces: list[bytes]) -> None:
        """Give nats-py whole pieces that are not for us."""
        self._side.there(self._client.take_pieces, self._connection, pieces)

    def lose(self, why: Exception) -> None:
        """Have nats-py give the connection up: whatever has ended reading, nothing else would tell it."""
        self._side.there(self._client.lose, self._connection, why)

    def end(self, route: SocketRoute, unsent: bytes) -> None:
        """Give the socket back."""
        self._side.there(self._take_back, route, unsent, self.splitter.partial)

    def _take_back(self, route: SocketRoute, unsent: bytes, partial: bytes) -> None:
        if self._transport.take_back(route, unsent):
            self._parser.splitter.partial = partial
