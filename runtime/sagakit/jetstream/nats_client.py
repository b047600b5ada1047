"""nats-py's client, with some of its habits mended.

- The server offers no TLS where it is wanted: nats-py would go on in the clear. Here connecting fails.
- The server ends a connection (a user has expired or was removed, there are too many connections): nats-py would close
  forever. Here that is an outage, and each new try reads the credentials again.
- A connection is silent, since its server is frozen or the network swallows everything: nats-py would wait until the
  server has taken the rest of what was written, or has said goodbye by TLS, and might then try the same server first.
- A try to connect fails: nats-py would leave its socket open.
- Reading ends by an error that nats-py does not know: it would stay connected, and deaf.
- The client is closed before it has begun to connect: nats-py would raise.
- The client is closed in the moment in which a try to connect fails: nats-py would try for ever.
- The server refuses a subscription: nats-py would tell nobody who has asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from logging import getLogger
from random import shuffle
from socket import SHUT_RDWR
from typing import Any, Protocol, TypeGuard, TypeVar

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, Transport, WebSocketTransport
from nats.protocol.parser import PERMISSIONS_ERR

from sagakit.errors import NotPermitted
from sagakit.jetstream.connection_errors import refused_subject
from sagakit.jetstream.lent_transport import LentTransport
from sagakit.jetstream.parser import AnswerParser

_log = getLogger("sagakit.link")

FLUSH_TRY = 1
"""Seconds after which opening asks again whether the server has what it was sent."""
PERMISSIONS: str = PERMISSIONS_ERR
"""A part of the text of errors that are about one subject only, and end no connection."""


T = TypeVar("T")


class ClientSide(Protocol):
    """The loop that a client runs on, and the way to the tasks that it serves."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        ...

    def here(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have the served side call `fn`, now or soon, in the order of these calls."""
        ...


class NatsClient(Client):
    """nats-py's client, mended. `tls_wanted` is by the options; a `tls://` or `wss://` URL wants TLS in any case."""

    def __init__(self, side: ClientSide, *, tls_wanted: bool, inbox_prefix: str) -> None:
        super().__init__()
        self._side = side
        self.connection_number: int = 0
        """Grows with each connection that is tried: the generation that frames belong to."""
        self._begun: set[asyncio.Task[None]] = set()
        self._inbox_prefix = bytearray(inbox_prefix.encode())  # `new_inbox` is wanted before `connect`
        self._tls_wanted = tls_wanted
        self._heard: set[str] = set()
        """Subjects of `hear`, in lower case, as the server's complaints name them."""
        self._refused: dict[str, NotPermitted] = {}
        """The refusals of the server, by subject."""
        self._shut: bool = False
        """True once the client is closed by its owner, for good."""
        self._asking: asyncio.Task[bool] | None = None
        """The question that later callers may share: it is not asked yet."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Take the server's greeting, or news. With `initial_connection` nothing was sent on this connection yet."""
        if initial_connection:
            self._auth_configured = self._auth_configured or self._signature_cb is not None
            self._insist_on_tls(info)
        elif isinstance(info.get("max_payload"), int):
            self._max_payload = info["max_payload"]  # nats-py takes it from a greeting alone
        await super()._process_info(info, initial_connection)

    def _insist_on_tls(self, info: dict[str, Any]) -> None:
        assert self._current_server is not None
        scheme = self._current_server.uri.scheme
        if not (self._tls_wanted or scheme == "tls") or scheme in ("ws", "wss") or info.get("tls_required"):
            return
        if not info.get("tls_available"):
            raise nats.errors.Error("the server offers no TLS, and the URL or an option tls_... asks for it")
        info["tls_required"] = True  # nats-py looks at this alone

    async def _connect_to_server(self, s: Srv) -> None:
        """Connect, after ending what an earlier try has left: nats-py leaves a connection alone that does not flush."""
        self._end_former()
        self._heed_closing()
        self.connection_number += 1
        if self._transport is None and s.uri.scheme not in ("ws", "wss"):
            self._transport = LentTransport(self._side.here)
        await super()._connect_to_server(s)

    def _end_former(self) -> None:
        former = [task for task in (self._reading_task, self._ping_interval_task, self._flusher_task) if _runs(task)]
        if former and self._transport is not None:
            _hang_up(self._transport)
            self._transport.close()  # type: ignore[no-untyped-call]  # as it is in nats-py
        for task in former:
            task.cancel()

    def _heed_closing(self) -> None:
        """Raise CancelledError in a task that goes on after the client was closed.

        It was cancelled then. But what it awaits may end in that moment, and then `asyncio.wait_for` of Python 3.11
        returns the result, or raises the error, and forgets the cancellation.
        """
        if self._shut:
            self._end_former()
            raise asyncio.CancelledError

    async def _process_connect_init(self) -> None:
        """Log in. A try that fails leaves no socket behind: during an outage there are ten a second.

        Raises nats.errors.Error, OSError: after these nats-py tries again.
        """
        try:
            await super()._process_connect_init()
            self._heed_closing()
        except BaseException as error:  # a cancelled try has a socket, too
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]  # as it is in nats-py
            if isinstance(error, nats.errors.Error | OSError) or not isinstance(error, Exception):
                raise
            raise nats.errors.Error(f"what answered is no NATS server: {error!r}") from error

    async def _attempt_reconnect(self) -> None:
        """Reconnect, to any other server sooner than to the one that was lost."""
        _hang_up(self._transport)
        shuffle(self._server_pool)
        self._server_pool.sort(key=lambda server: server is self._current_server)
        await super()._attempt_reconnect()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Close. An error of the transport is not raised: the caller has no use for it, and it would hide others."""
        try:
            await super()._close(status, do_cbs)
        except (nats.errors.Error, OSError):  # what was still to be sent is lost with the connection
            self._pending, self._pending_data_size = [], 0
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """Flush. `close` calls this also before the first connection, when there is nothing to flush with."""
        return await super()._flush_pending(force_flush) if self._flush_queue is not None else None

    async def _process_pong(self) -> None:
        """Take a pong. Nobody may wait for it any more: then it came late, and that is all."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.Future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        """Read until the connection ends. What ends reading ends it: nats-py would stay connected, and deaf."""
        await super()._read_loop()
        if self._reading_task is asyncio.current_task() and self.is_connected:
            await self._process_op_err(nats.errors.Error("nats: reading has ended"))

    @property
    def server_version(self) -> str:
        """The release of the server, as in `2.11.4`."""
        found = self.connected_server_version
        return f"{found.major}.{found.minor}.{found.patch}"

    def heard(self) -> None:
        """Note that the server is there: pings that it has not answered yet do not count."""
        self._pings_outstanding = 0

    def write_frames(self, connection: int, frames: bytes) -> None:
        """Write whole frames to the transport, if the connection is still the one that they are for."""
        if connection != self.connection_number or not self.is_connected or self._transport is None:
            return
        self._transport.write(frames)
        if not isinstance(self._transport, TcpTransport):
            # A WebSocket sends in `drain`, which nats-py's flusher calls if there is something to flush. nats-py does
            # the same with a PING. A full queue of kicks is as good as one more.
            self._pending_data_size += len(frames)
            assert self._flush_queue is not None, "it is made while connecting"
            with suppress(asyncio.QueueFull):
                self._flush_queue.put_nowait(self._side.loop.create_future())

    def take_pieces(self, connection: int, pieces: Sequence[bytes]) -> None:
        """Take in whole pieces that trio has read, in the order of these calls."""
        self._begin(self._take_pieces(connection, pieces))

    def lose(self, connection: int, why: Exception) -> None:
        """Give a connection up that trio could not read any more, after what it has read last."""
        self._begin(self._lose(connection, why))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._side.loop.create_task(work)
        self._begun.add(task)  # a loop holds its tasks by weak references only
        task.add_done_callback(self._begun.discard)

    async def _lose(self, connection: int, why: Exception) -> None:
        if connection == self.connection_number and self.is_connected:
            await self._error_cb(why)
            await self._process_op_err(why)

    async def _take_pieces(self, connection: int, pieces: Sequence[bytes]) -> None:
        if connection != self.connection_number:  # a pong of the connection before would answer a ping of this one
            return
        parser = self._ps
        assert isinstance(parser, AnswerParser)
        try:
            await parser.hand_on(pieces)
        except (nats.errors.ProtocolError, OSError) as error:
            await self._process_op_err(error)

    async def answers(self) -> bool:
        """Return True if the server answers a ping. nats-py forgets pings that were asked on a connection before."""
        try:
            await self._flush_pending(force_flush=True)  # a ping is written at once, and would overtake the rest
            await self.flush(FLUSH_TRY)
        except nats.errors.FlushTimeoutError:
            return False
        return True

    async def hear(self, subject: str, takers: dict[int, T], take: T) -> Subscription:
        """Subscribe a subject, with `take` in `takers` under the subscription's number. Return once the server knows.

        Raises NotPermitted; nats.errors.Error where the connection is lost. Nothing is left behind then.
        """
        connection, name = self.connection_number, subject.lower()
        self._heard.add(name)
        self._refused.pop(name, None)
        subscription = await self.subscribe(subject)
        takers[subscription._id] = take
        try:
            while not await self._server_knows():
                if connection != self.connection_number or not self.is_connected:
                    raise nats.errors.Error("the connection was lost")
            if name in self._refused:
                raise self._refused.pop(name)
        except BaseException:  # a cancelled call leaves no subscription either
            del takers[subscription._id]
            self._begin(self.end_hearing(subscription))
            raise
        return subscription

    async def end_hearing(self, subscription: Subscription) -> None:
        """End a subscription; where the connection is lost, it has ended with it."""
        with suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    async def _server_knows(self) -> bool:
        """Return True once the server has all that was sent so far. Callers of the same moment share one ping."""
        if self._asking is None:
            self._asking = self._side.loop.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        await asyncio.sleep(0)
        self._asking = None
        try:
            return await self.answers()
        except (nats.errors.Error, OSError):
            return False

    async def shut(self) -> None:
        """Close the connection, whatever state it is in, for good."""
        self._shut = True
        try:
            await self.close()
        except (OSError, nats.errors.Error) as error:  # the server has gone before: nothing is left to close
            _log.debug("closing: %s", error)
        except asyncio.CancelledError:  # nats-py raises its reader's; ours goes on
            if _is_cancelled():
                raise

    async def _process_err(self, err_msg: str) -> None:
        if PERMISSIONS in err_msg:
            refused = refused_subject(err_msg)
            if refused is not None and not refused.publish and refused.subject.lower() in self._heard:
                self._refused[refused.subject.lower()] = refused  # `hear` says so; it concerns nobody else
                return
            await super()._process_err(err_msg)
            return
        text = err_msg.strip("'")
        await self._error_cb(nats.errors.Error(f"the server ended the connection: {text}"))
        await self._process_op_err(nats.errors.Error(f"nats: {text}"))


def _is_cancelled() -> bool:
    """Return True if somebody has cancelled the asyncio task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _runs(task: asyncio.Task[None] | None) -> TypeGuard[asyncio.Task[None]]:
    return task is not None and not task.done()


def _hang_up(transport: Transport | None) -> None:
    """Shut a connection's socket: nothing more is said on it, and no answer awaited."""
    stream: Any = None
    if isinstance(transport, TcpTransport):
        stream = transport._io_writer
    elif isinstance(transport, WebSocketTransport):
        stream = transport._ws
    socket = stream.get_extra_info("socket") if stream is not None else None
    if socket is not None:
        with suppress(OSError):  # it was cut already
            socket.shutdown(SHUT_RDWR)
