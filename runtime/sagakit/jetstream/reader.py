"""Reads the connection's socket in a trio task, in nats-py's stead: asyncio takes three turns of the loop for a read.

nats-py's own reading is paused in a moment in which nothing of it is under way: its buffer is empty, and its loop waits
for more. From then on it gets whole pieces, those that are not for us. As soon as anything is odd (an end, an error, a
client that is not connected any more) its reading is resumed, and it finds out for itself what has happened. On a new
connection it reads the first words by itself, too, before it is paused again.

Only plain TCP: what a socket holds of TLS or a WebSocket is not for a parser.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any

import nats.errors
import trio
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from sagakit.jetstream.parser import AnswerParser

CHUNK = 256 * 1024
"""Bytes that are read at once."""
MANY = 200
"""Answers that are owed from which on they are left to gather between two reads."""
GATHER = 0.001
"""Seconds that they are left: a turn of the loop for a handful of them would take the core that the server wants."""
LOOK = 0.001
"""Seconds between looks whether nats-py has come to rest."""


class SocketReader:
    """One a link. For tasks of the trio thread."""

    def __init__(self, client: Client, on_asyncio: Callable[..., Awaitable[None]]) -> None:
        self._client = client
        self._on_asyncio = on_asyncio
        self._scope: trio.CancelScope | None = None

    def let_go(self) -> None:
        """The connection is lost: its socket must not be kept open. From nats-py's callback."""
        if self._scope is not None:
            self._scope.cancel()

    async def read(self, parser: AnswerParser, owed: Sized) -> None:
        """Read the present connection; return when it is lost, or at once if this is not for us.

        `owed` are the answers that are still to come.
        """
        transport = self._client._transport
        if not isinstance(transport, TcpTransport) or transport._io_writer is not transport._bare_io_writer:
            return
        with trio.CancelScope() as self._scope:
            while not _is_idle(transport):  # noqa: ASYNC110  # nothing of nats-py's tells
                await trio.sleep(LOOK)
            with _borrowed(transport) as fd:
                await self._read(fd, parser, owed)

    async def _read(self, fd: int, parser: AnswerParser, owed: Sized) -> None:
        while True:
            await trio.lowlevel.wait_readable(fd)
            try:
                data = os.read(fd, CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data or not self._client.is_connected:
                return
            rest = parser.take_in(data)
            if rest:
                await self._on_asyncio(self._hand_on, parser, rest)
            if len(owed) >= MANY:
                await trio.sleep(GATHER)

    async def _hand_on(self, parser: AnswerParser, pieces: Sequence[bytes]) -> None:
        try:
            await parser.hand_on(pieces)
        except (nats.errors.ProtocolError, OSError) as error:
            await self._client._process_op_err(error)


def _is_idle(transport: TcpTransport) -> bool:
    """Whether nats-py has taken in all that was read, and waits for more."""
    reader: Any = transport._io_reader
    return not reader._buffer and reader._waiter is not None and not reader._waiter.done()


@contextmanager
def _borrowed(transport: TcpTransport) -> Iterator[int]:
    """A descriptor of our own of the connection's socket, which asyncio does not read meanwhile."""
    writer: Any = transport._io_writer
    asyncio_transport = writer.transport
    fd = os.dup(asyncio_transport.get_extra_info("socket").fileno())
    asyncio_transport.pause_reading()
    try:
        yield fd
    finally:
        trio.lowlevel.notify_closing(fd)
        os.close(fd)
        asyncio_transport.resume_reading()
