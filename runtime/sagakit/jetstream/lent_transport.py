"""nats-py's transport over TCP, whose socket is lent to trio once nats-py has logged in.

Only one side reads a socket at a time, and only one side writes it, so that no frame is cut by another one. While the
socket is lent, trio is that side. What nats-py still writes by itself (pings, subscriptions) goes to trio, whole and in
order.
Only plain TCP can be lent: what a socket holds of TLS is not for a parser.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport


class Borrower(Protocol):
    """The side that reads and writes the socket in nats-py's place."""

    def write(self, frames: bytes) -> None:
        """Write whole frames. In the trio thread."""
        ...


B = TypeVar("B", bound=Borrower)


class LentTransport(TcpTransport):
    """A transport for one connection after the other. `here` calls a function on the trio side.

    All methods are for the asyncio side.
    """

    def __init__(self, here: Callable[..., None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as it is in nats-py
        self._here = here
        self._borrower: Borrower | None = None

    def __bool__(self) -> bool:
        """Return True: nats-py would replace a transport that is not connected yet by one of its own."""
        return True

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Connect; a loan of an earlier connection has ended with it."""
        self._borrower = None
        await super().connect(uri, buffer_size, connect_timeout)

    @property
    def is_plain(self) -> bool:
        """True if no TLS is spoken on the socket."""
        return self._io_writer is self._bare_io_writer

    @property
    def is_at_rest(self) -> bool:
        """True while nats-py has taken in all that was read, waits for more, and has nothing left to write.

        Then and only then both directions are at the border of two frames.
        """
        reader: Any = self._io_reader
        writer: Any = self._io_writer
        waits = reader._waiter is not None and not reader._waiter.done()
        return not reader._buffer and waits and not writer.transport.get_write_buffer_size()

    def lend(self, borrower: Callable[[socket.socket], B]) -> B:
        """Lend the socket. `is_at_rest` must be true, and nothing awaited since. Raises OSError.

        The borrower gets a descriptor of its own, so that neither side closes one that the other still waits for.
        """
        writer: Any = self._io_writer
        made = borrower(writer.transport.get_extra_info("socket").dup())
        writer.transport.pause_reading()
        self._borrower = made
        return made

    def take_back(self, borrower: Borrower, unsent: bytes) -> bool:
        """End a loan: write what the borrower could not, and read again. False if the connection is another one now."""
        if self._borrower is not borrower:
            return False
        self._borrower = None
        writer: Any = self._io_writer
        if unsent and not writer.transport.is_closing():
            writer.write(unsent)
        writer.transport.resume_reading()
        return True

    def write(self, payload: bytes) -> None:
        """Write, by the borrower if there is one."""
        if self._borrower is None:
            super().write(payload)  # type: ignore[no-untyped-call]  # as it is in nats-py
        else:
            self._here(self._borrower.write, payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Write all of it in one go, so that nothing gets in between."""
        self.write(b"".join(payload))
