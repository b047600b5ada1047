"""The link: one NATS connection and its pump.

Whatever is sent (writes, reads, requests) is one `Outgoing`: queued without blocking, written to the connection's
socket by one trio task, a batch at a time, answered on one inbox, where the parser hands it straight to its taker.
Nothing of asyncio's for a message: no future, task, timeout or callback; one sweeper for the timeouts.

While disconnected nothing is queued: what was not sent ends as Unavailable, what was sent without answer as Ambiguous.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from logging import getLogger
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import nats.errors
import trio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from sagakit.errors import (
    Ambiguous,
    InternalError,
    NoResponders,
    NotPermitted,
    Refused,
    RuntimeClosed,
    StoreError,
    StreamMissing,
    TooLarge,
    Unavailable,
)
from sagakit.jetstream.answers import ApiError, to_error
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.connection_errors import Troubles
from sagakit.jetstream.leaders import Leaders, stream_of
from sagakit.jetstream.parser import AnswerParser, Delivery
from sagakit.jetstream.reader import SocketReader
from sagakit.jetstream.wire import frame

if TYPE_CHECKING:
    from trio_asyncio import BaseTrioEventLoop

_log = getLogger("sagakit.link")

T = TypeVar("T")

SWEEP = 0.1
"""Seconds between looks for answers that are overdue."""
BUSY = 64
"""Messages under way from which on a turn of the loop is waited for more to send."""
STILL = 3
"""Sweeps after which an oldest message that is still unanswered makes us look closer."""
LINGER = 0.002
"""Seconds that a message waits at most for others to go with."""
FLUSH_TRY = 1
"""Seconds after which opening asks again whether the server has what it was sent."""
CLOSE_TIMEOUT = 2.0
"""Seconds that closing may take."""

Taker = Callable[[bytes | StoreError], None]
"""Gets the answer, once, in the trio thread. Must not block."""


class Outgoing(msgspec.Struct):
    """One message; if it wants an answer, `take` gets it."""

    subject: str
    payload: bytes
    headers: bytes
    take: Taker | None
    deadline: float
    reply: str = ""
    """Where its answers go that are not for `take`."""


class Link:
    """An open connection. For tasks of the trio thread that opened it."""

    def __init__(self, client: Client, connection: Connection, loop: BaseTrioEventLoop) -> None:
        self.client = client
        self._loop = loop
        self._connection = connection
        self._inbox: str = client.new_inbox()
        self._parser: AnswerParser
        self._reader = SocketReader(client, self.on_asyncio)
        self._prefix = len(self._inbox) + 1
        self._numbers = count(1)
        self._queue: deque[Outgoing] = deque()
        self._pending: dict[int, Outgoing] = {}
        self._pending_bytes = 0
        self._parked: trio.lowlevel.Task | None = None
        """The pump, while it has nothing to send or no room."""
        self._hurried = False
        self._lingers = False
        self._room: trio.Event | None = None
        self._up = trio.Event()
        self.reconnected_at: float = -inf
        self._closing = False
        self._now = trio.current_time() + SWEEP
        """As of the last sweep, and never early: a look at the clock for each message would cost more."""
        self.troubles: Troubles = Troubles()
        self._asked: dict[Taker, str] = {}
        self._failure: Exception | None = None
        self._failed = trio.Event()
        self._first: tuple[int, int] = (0, 0)
        """The oldest unanswered message, and for how many sweeps it has been that."""
        self.leaders: Leaders = Leaders(self._ask, self.until_connected, self._next_number, self._give_up, self.refused)
        self.sent: int = 0

    # ------------------------------------------------------------- sending

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self.client.max_payload

    @property
    def may_have_leaf_nodes(self) -> bool:
        """Whether the server may be a leaf node, or have some: it names a domain, or a cluster, as leaf nodes do."""
        told = self.client._server_info
        return bool(told.get("domain") or told.get("cluster"))

    @property
    def connect_timeout(self) -> float:
        """Seconds until opening gives up."""
        return self._connection.connect_timeout

    @property
    def connected(self) -> bool:
        """Whether the connection is up now."""
        return self.client.is_connected

    async def until_connected(self) -> None:
        """Return when the connection is up. Raises RuntimeClosed when it never will be again."""
        while not self.client.is_connected:
            if self._closing:
                raise RuntimeClosed("the runtime has closed")
            await self._up.wait()
        await trio.lowlevel.checkpoint()

    async def until_reconnected(self, since: float) -> None:
        """Return when the connection has come back after `since`."""
        while self.reconnected_at <= since:
            await self._up.wait()
        await trio.lowlevel.checkpoint()

    async def until_room(self) -> None:
        """Return when little enough is queued and unanswered; at once if that is so, without a turn for others."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._has_room():
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    def send(
        self,
        subject: str,
        payload: bytes,
        take: Taker,
        headers: bytes = b"",
        *,
        timeout: float | None = None,
        linger: bool = False,
    ) -> None:
        """Queue a message; `take` is called once, later, with the answer's bytes or with what went wrong.

        `subject` and `headers` (a `wire.header_block`) go out as they are. What may `linger` goes with the next
        message that may not, or alone after LINGER: nobody waits for it, and a write to the socket is dear.
        """
        deadline = self._now + (self._connection.ack_timeout if timeout is None else timeout)
        self._enqueue(Outgoing(subject, payload, headers, take, deadline), linger)

    def tell(
        self, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "", linger: bool = False
    ) -> None:
        """Queue a message that wants no answer here; it is lost if the connection is. The rest as in `send`."""
        deadline = self._now + self._connection.ack_timeout
        self._enqueue(Outgoing(subject, payload, headers, None, deadline, reply), linger)

    def _enqueue(self, out: Outgoing, linger: bool) -> None:
        self._queue.append(out)
        if linger and not self._hurried:
            if not self._lingers:
                self._wake()
        elif self._pending or self._parked is None or not self._write():  # an idle link sends at once
            self._hurried = True
            self._wake()

    async def request(
        self, subject: str, payload: bytes, *, headers: bytes = b"", timeout: float | None = None
    ) -> bytes:
        """Send and wait for the answer. Raises StoreError. Cancelled, the message may still have its effect.

        What the account may not publish ends as NotPermitted at once; what was only sent stays ambiguous, and waits for
        the permission as for an outage.
        """
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        answers: list[bytes | StoreError] = []

        def take(answer: bytes | StoreError) -> None:
            if answers:
                return
            answers.append(answer)
            if task is not None:
                trio.lowlevel.reschedule(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal task
            task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._asked[take] = subject
        try:
            self.send(subject, payload, take, headers=headers, timeout=timeout)
            await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            del self._asked[take]
        answer = answers[0]
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def on_asyncio(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Run an asyncio function of nats-py: one crossing, for what is rare. From any task of the trio thread."""
        import trio_asyncio

        result: T = await trio_asyncio.aio_as_trio(partial(fn, *args, **kwargs), loop=self._loop)()
        return result

    @asynccontextmanager
    async def diverting(self, take: Callable[[Delivery], None]) -> AsyncIterator[str]:
        """A subject whose messages go straight to `take` while the context is open; across reconnects, too."""
        inbox = self.client.new_inbox()
        subscription = await self.on_asyncio(self.client.subscribe, inbox)
        self._parser.diverted[subscription._id] = take
        try:
            yield inbox
        finally:
            del self._parser.diverted[subscription._id]
            with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self.unsubscribe(subscription)

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; where the connection is lost, it has ended with it."""
        with suppress(nats.errors.Error, OSError):
            await self.on_asyncio(subscription.unsubscribe)

    def refused(self, error: ApiError, stream: str, *, key: str = "") -> StoreError:
        """Return the error of a request about a stream, or about a key in it; tell of a stream that is missing."""
        found = to_error(error, key=key or stream, expected=None, stream=stream)
        if isinstance(found, StreamMissing):
            self.troubles.missing(found)
        return found

    # ---------------------------------------------------------------- pump

    def _full(self) -> bool:
        limits = self._connection
        return len(self._pending) >= limits.max_unacked or self._pending_bytes >= limits.max_unacked_bytes

    def _has_room(self) -> bool:
        return not self._full() and len(self._queue) <= self._connection.max_unacked

    def _tell_of_room(self) -> None:
        """To all who wait for it."""
        if self._room is not None and self._has_room():
            self._room.set()
            self._room = None

    async def pump(self) -> None:
        """Send what is queued, as long as the window has room: one write a batch. Until cancelled."""
        while True:
            if self._queue and not self._full():
                if len(self._pending) > BUSY:
                    await trio.lowlevel.checkpoint()  # more will gather: larger writes, here and at the server
                elif not self._hurried:
                    await self._linger()
                self._hurried = False
                await self._send_some()
                await trio.lowlevel.checkpoint()
            else:
                await self._park()

    async def _linger(self) -> None:
        """Until there is something to send that may not wait, or LINGER is over."""
        self._lingers = True
        with trio.move_on_after(LINGER):
            while not self._hurried:
                await self._park()
        self._lingers = False

    async def _park(self) -> None:
        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._parked is not None:
            trio.lowlevel.reschedule(self._parked)
            self._parked = None

    async def _send_some(self) -> None:
        if not self.client.is_connected:
            self._drop_all("not connected")
        elif not self._write():
            frames = self._frame()
            if frames:
                await self.on_asyncio(self._hand_over, frames)

    def _write(self) -> bool:
        """Write a batch to nats-py's socket, which buffers what the kernel does not take; the window bounds that.

        False if it does not take bytes as they are.
        """
        transport = self.client._transport
        if not isinstance(transport, TcpTransport) or not self.client.is_connected:
            return False
        frames = self._frame()
        if frames:
            transport.write(frames)  # type: ignore[no-untyped-call]  # see decision 0002
        return True

    async def _hand_over(self, frames: bytes) -> None:
        """Over a WebSocket nothing goes without asyncio: give it to nats-py's flusher."""
        await self.client._send_command(frames)
        await self.client._flush_pending()

    def _frame(self) -> bytes:
        """The frames of as many messages as the window has room for."""
        queue, pending, inbox, max_payload = self._queue, self._pending, self._inbox, self.client.max_payload
        parts: list[bytes] = []
        routed = self._connection.routed
        room_bytes = self._connection.max_unacked_bytes - self._pending_bytes
        for _ in range(min(len(queue), self._connection.max_unacked - len(pending))):
            if room_bytes <= 0:
                break
            out = queue.popleft()
            if len(out.headers) + len(out.payload) > max_payload:
                self._refuse(out, TooLarge(f"{out.subject}: {len(out.payload):,} bytes exceed {max_payload:,}"))
                continue
            number = next(self._numbers)
            try:
                reply = out.reply if out.take is None else f"{inbox}.{number}"
                parts += frame(routed(out.subject), reply, out.headers, out.payload)
            except ValueError as error:
                self._refuse(out, Refused(0, f"not sent: {error}"))
                continue
            if out.take is not None:
                pending[number] = out
                self._pending_bytes += len(out.payload)
                room_bytes -= len(out.payload)
            self.sent += 1
        self._tell_of_room()
        return b"".join(parts)

    def _refuse(self, out: Outgoing, error: StoreError) -> None:
        """What cannot be sent: told later, never while it is being sent."""
        _log.error("%s", error)
        trio.lowlevel.current_trio_token().run_sync_soon(self._tell, out, error)

    async def _answered(self, msg: Msg) -> None:
        """The inbox's callback."""
        number = int(msg.subject[self._prefix :])
        if not msg.data and msg.headers is not None and msg.headers.get("Status") == "503":
            self._answer(number, NoResponders("nobody answers: no such stream, no leader now, or no listener"))
        else:
            self._answer(number, msg.data)

    def _answer(self, number: int, answer: bytes | StoreError) -> None:
        out = self._pending.pop(number, None)
        if out is None:
            return
        self._pending_bytes -= len(out.payload)
        if self._parked is not None and self._queue:
            self._wake()
        if self._room is not None:
            self._tell_of_room()
        self._tell(out, answer)

    def _tell(self, out: Outgoing, answer: bytes | StoreError) -> None:
        if out.take is not None:
            try:
                out.take(answer)
            except Exception as error:  # nats-py would only report it, and whoever waits would wait for ever
                self._broken(error)

    def _broken(self, error: Exception) -> None:
        """A bug of ours: nothing that is built on this link can be trusted any more."""
        _log.critical("an answer could not be taken in", exc_info=error)
        self._failure = self._failure or error
        self._failed.set()

    async def read(self) -> None:
        """Read what comes in, connection by connection, where nats-py need not. Until cancelled."""
        while True:
            await self.until_connected()
            since = self.reconnected_at
            await self._reader.read(self._parser, self._pending)
            await self.until_reconnected(since)

    async def fail(self) -> None:
        """Raise InternalError once an answer could not be taken in, NotPermitted once a subscription was refused."""
        await self._failed.wait()
        if isinstance(self._failure, NotPermitted):
            raise self._failure
        raise InternalError("an answer of the server could not be taken in") from self._failure

    async def on_error(self, error: Exception) -> None:
        """Note what nats-py reports, and end the requests that the server refused."""
        refused = self.troubles.add(error)
        if refused is None:
            return
        if not refused.publish:  # nothing would ever come: better no worker than a deaf one
            self._failure = self._failure or refused
            self._failed.set()
        asked = [(take, self._connection.routed(subject)) for take, subject in self._asked.items()]
        for take, subject in asked:
            if subject.lower() == refused.subject.lower():  # the server's word arrives in lower case
                take(NotPermitted(subject, publish=True))

    async def sweep(self) -> None:
        """End what is overdue as ambiguous, until cancelled."""
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            self._now = now + SWEEP
            for number in [number for number, out in self._pending.items() if out.deadline <= now]:
                self._answer(number, Ambiguous(f"{self._pending[number].subject}: no answer in time"))
            self._look_for_silence(now)
            while self._queue and self._queue[0].deadline <= now:
                self._never_sent(self._queue.popleft(), "the window was full")
            self._tell_of_room()

    def _look_for_silence(self, now: float) -> None:
        """In ordinary times the oldest unanswered message is another one at each sweep, and that is all to look at."""
        number = next(iter(self._pending), 0)
        sweeps = self._first[1] + 1 if number and number == self._first[0] else 0
        self._first = (number, sweeps)
        owed: dict[str, int] = {}
        if sweeps >= STILL and self.client.is_connected:
            for number, out in self._pending.items():
                stream = stream_of(out.subject)
                if stream is not None:
                    owed.setdefault(stream, number)
        self.leaders.look(owed, now)

    def _next_number(self) -> int:
        return next(reversed(self._pending), 0) + 1

    async def _ask(self, subject: str, payload: bytes, timeout: float) -> bytes:
        return await self.request(subject, payload, timeout=timeout)

    def _give_up(self, stream: str, next_number: int) -> None:
        """What the stream was sent before may have been lost with its leader."""
        owed = [one for one, out in self._pending.items() if one < next_number and stream_of(out.subject) == stream]
        for number in owed:
            self._answer(number, Ambiguous(f"{self._pending[number].subject}: its stream had no leader"))

    async def on_disconnected(self) -> None:
        """End everything that is under way: sent is ambiguous, queued was never sent."""
        self._reader.let_go()
        if not self._closing:
            _log.warning("disconnected from NATS; sagas wait")
        for number in list(self._pending):
            self._answer(number, Ambiguous("the connection was lost before the answer came"))
        self._drop_all("disconnected")

    def _drop_all(self, why: str) -> None:
        """What is queued now; those who are told may queue more."""
        for _ in range(len(self._queue)):
            self._never_sent(self._queue.popleft(), why)
        self._tell_of_room()

    def _never_sent(self, out: Outgoing, why: str) -> None:
        self._tell(out, Unavailable(f"{out.subject}: not sent: {why}"))

    async def on_reconnected(self) -> None:
        """Let those go on who wait for the connection."""
        _log.warning("connected to NATS again")
        self.troubles.over()
        self.reconnected_at = trio.current_time()
        up, self._up = self._up, trio.Event()
        up.set()
        self._wake()

    async def close(self) -> None:
        """Close the connection; what is under way ends as after a disconnect. Runs on the asyncio side."""
        self._closing = True
        try:
            await self.client.close()
        except (OSError, nats.errors.Error) as error:  # the server has gone before: there is nothing to close any more
            _log.debug("closing: %s", error)
        except asyncio.CancelledError:  # nats-py raises its reader's; ours goes on
            if _is_cancelled():
                raise
        self._up.set()

    async def start(self) -> None:
        """Subscribe the inbox. The server knows of it before the pump sends anything."""
        await self.on_asyncio(self._subscribe)
        while not await self.on_asyncio(self._flush) or not self.connected:  # without a connection nothing is asked
            await self.until_connected()

    async def _subscribe(self) -> None:
        subscription = await self.client.subscribe(
            self._inbox + ".*", cb=self._answered, pending_msgs_limit=2**31, pending_bytes_limit=2**40
        )
        self._parser = self.client._ps = AnswerParser(self.client, self._inbox, subscription._id, self._answer)

    async def _flush(self) -> bool:
        """Whether the server has answered a ping. nats-py forgets those that were asked on a connection before."""
        try:
            await self.client.flush(FLUSH_TRY)
        except nats.errors.FlushTimeoutError:
            return False
        return True


def _is_cancelled() -> bool:
    """Return whether somebody has cancelled the asyncio task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
