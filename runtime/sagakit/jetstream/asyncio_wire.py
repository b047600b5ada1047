"""The port `Wire` for asyncio programs: nats-py's client on the program's own loop. Nothing here imports trio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from logging import getLogger
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from sagakit.errors import (
    Ambiguous,
    CannotConnect,
    NoResponders,
    NotPermitted,
    Refused,
    RuntimeClosed,
    StoreError,
    TooLarge,
    Unavailable,
)
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.connection_errors import ConnectionErrors
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.nats_options import cancellable, nats_options, why_not
from sagakit.jetstream.parser import AnswerParser, Answers, Delivery, Takers
from sagakit.jetstream.wire import check_subjects, frame
from sagakit.store.ports import Subscription, WireEvent, WireMessage, WireRequest

_log = getLogger("sagakit.link")

CLOSES_WITHIN = 2.0
"""Seconds that closing the connection may take."""


class _OwnLoop:
    """The side of a client whose callers are on its own loop: nothing crosses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def here(self, fn: Callable[..., object], /, *args: Any) -> None:
        fn(*args)


class AsyncioWire:
    """A `Wire` over one connection. For tasks of the loop that opened it. Made by `open_asyncio_wire`.

    While disconnected nothing is queued: what was not sent ends as Unavailable, what was sent as Ambiguous.
    """

    def __init__(self, client: NatsClient, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._connection = connection
        self._loop = loop
        self._inbox = client.new_inbox()
        self._numbers = count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[bytes]]] = {}
        """Requests without an answer, by number, with the subjects on which they were sent."""
        self._takers: dict[int, Callable[[Delivery], None]] = {}
        """The takers of subscriptions, by the subscription's number."""
        self._connection_errors = ConnectionErrors()
        self._up = asyncio.Event()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.reconnects: int = 0

    @property
    def connected(self) -> bool:
        """True while the connection is up."""
        return self._up.is_set() and self._client.is_connected

    @property
    def server_version(self) -> str:
        """The release of the server, as in `2.11.4`."""
        return self._client.server_version

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._client.max_payload

    async def request(
        self, subject: str, payload: bytes = b"", *, headers: bytes = b"", timeout: float | None = None
    ) -> bytes:
        """Send a message and return the payload of its answer."""
        number = next(self._numbers)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._write(subject, payload, headers, f"{self._inbox}.{number}")
        self._asked[number] = self._connection.routed(subject), future
        wait = self._connection.ack_timeout if timeout is None else timeout
        overdue = Ambiguous(f"{subject}: no answer in time")
        timer = self._loop.call_later(wait, self._end, number, overdue)
        try:
            return await future
        finally:
            timer.cancel()
            self._asked.pop(number, None)

    async def request_all(self, requests: Sequence[WireRequest]) -> Sequence[bytes | StoreError]:
        """Send messages as `request` does, and return the answers to all of them, or what went wrong with each."""
        numbers = [next(self._numbers) for _ in requests]
        futures: list[asyncio.Future[bytes]] = [self._loop.create_future() for _ in requests]
        for number, future, (subject, headers, payload) in zip(numbers, futures, requests, strict=True):
            try:
                self._write(subject, payload, headers, f"{self._inbox}.{number}")
            except StoreError as error:
                future.set_exception(error)
            else:
                self._asked[number] = self._connection.routed(subject), future
        try:
            if futures:
                await asyncio.wait(futures, timeout=self._connection.ack_timeout)
        finally:
            for number in numbers:
                self._asked.pop(number, None)
        return [_result_of(future, request.subject) for future, request in zip(futures, requests, strict=True)]

    def tell(self, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "") -> None:
        """Send a message that wants no answer here."""
        with suppress(StoreError):
            self._write(subject, payload, headers, reply)

    def _write(self, subject: str, payload: bytes, headers: bytes, reply: str) -> None:
        if not self.connected:
            raise Unavailable("disconnected")
        size = len(payload) + len(headers)
        if size > self.max_payload:
            raise TooLarge(f"{subject}: {size:,} bytes, the server takes {self.max_payload:,}")
        try:
            subject = self._connection.routed(subject)
            check_subjects(subject, reply)
        except ValueError as error:
            raise Refused(0, str(error)) from None
        frames = frame(subject, reply, headers, payload)
        self._client.write_frames(self._client.connection_number, b"".join(frames))

    async def hear(self, subject: str, take: Callable[[WireMessage], None]) -> Subscription:
        """Have `take` called for each message of a subject."""
        if not self.connected:
            raise Unavailable("disconnected")

        def taken(delivery: Delivery) -> None:
            take(WireMessage(*delivery))

        try:
            subscription = await self._client.hear(subject, self._takers, taken)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"{subject} cannot be heard: {error}") from error
        return _AsyncioSubscription(self._client, self._takers, subscription)

    def new_inbox(self) -> str:
        """Return a subject that nobody else uses."""
        return self._client.new_inbox()

    async def until_connected(self) -> None:
        """Return when the connection is up. Raises RuntimeClosed when it never will be again."""
        while not self.connected:
            if self._closing:
                raise RuntimeClosed("the client has closed: its context was left")
            self._up.clear()
            await self._up.wait()

    def event(self) -> WireEvent:
        """Return a flag for asyncio tasks."""
        return _AsyncioEvent()

    async def within(self, seconds: float, event: WireEvent) -> bool:
        """Wait for a flag. Return False if it is not set after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)

    def now(self) -> float:
        """Return the seconds of the loop's clock."""
        return self._loop.time()

    async def together(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        """Run coroutine functions at the same time, and return when all have ended."""

        async def run(call: Callable[[], Awaitable[Any]]) -> None:
            await call()

        failed: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(run(call))
        except BaseExceptionGroup as errors:
            failed = errors.exceptions[0]
        if failed is not None:
            raise failed

    # ------------------------------------------------------- opening and closing

    async def open(self) -> None:
        """Connect, and have the server know where answers go. Raises CannotConnect, LoginRefused, InvalidConfig."""
        connect = partial(
            self._client.connect,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            **nats_options(self._connection),
        )
        try:
            async with asyncio.timeout(self._connection.connect_timeout):
                await cancellable(connect)
                await self._open_inbox()
                while not self._up.is_set():
                    await self._take_up()
        except TimeoutError:
            raise why_not(self._connection, self._connection_errors) from None
        except (nats.errors.Error, OSError, ValueError) as error:
            raise CannotConnect(f"cannot connect to {', '.join(self._connection.servers)}: {error}") from error

    async def _open_inbox(self) -> None:
        inbox, client = self._inbox, self._client
        subscription = await client.subscribe(
            f"{inbox}.*", cb=self._on_words, pending_msgs_limit=2**31, pending_bytes_limit=2**40
        )
        takers = Takers(self._on_answers, self._deliver, self._takers)
        client._ps = AnswerParser(client, inbox, subscription._id, takers, _OwnLoop(self._loop).here)

    async def _take_up(self) -> None:
        """Let requests go on once the server knows all subscriptions of this connection."""
        connection = self._client.connection_number
        while not await self._client.answers():
            if not self._client.is_connected or self._client.connection_number != connection:
                await asyncio.sleep(0)
                return
        self._up.set()

    async def close(self) -> None:
        """Close the connection; what is under way ends as after a disconnect."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSES_WITHIN):
                await self._client.shut()
        self._end_all()
        self._up.set()

    # -------------------------------------------------------- nats-py's callbacks

    async def _on_error(self, error: Exception) -> None:
        refused = self._connection_errors.add(error)
        if refused is None or not refused.publish:
            return
        for number, (subject, _) in list(self._asked.items()):
            if subject.lower() == refused.subject.lower():  # the server's word arrives in lower case
                self._end(number, NotPermitted(subject, publish=True))

    async def _on_disconnected(self) -> None:
        self._up.clear()
        if not self._closing:
            _log.warning("disconnected from NATS; the client waits")
        self._end_all()

    async def _on_reconnected(self) -> None:
        _log.warning("connected to NATS again")
        self._connection_errors.over()
        task = self._loop.create_task(self._come_back())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _come_back(self) -> None:
        with suppress(nats.errors.Error, OSError):  # it is lost again, and will be back
            await self._take_up()
            self.reconnects += self._up.is_set()

    async def _on_words(self, msg: Msg) -> None:
        """Take an answer with headers, which the parser leaves to nats-py: as a rule the word that nobody answers."""
        number = int(msg.subject[len(self._inbox) + 1 :])
        if not msg.data and msg.headers is not None and msg.headers.get("Status") == "503":
            self._end(number, NoResponders("nobody answers: no such stream, no leader now, or no listener"))
        else:
            self._on_answers([(number, msg.data)])

    def _on_answers(self, answers: Answers) -> None:
        for number, answer in answers:
            asked = self._asked.pop(number, None)
            if asked is not None and not asked[1].done():
                asked[1].set_result(answer)

    def _deliver(self, number: int, delivery: Delivery) -> None:
        take = self._takers.get(number)
        if take is None:  # hearing has ended while this was on its way
            return
        try:
            take(delivery)
        except Exception as error:  # what others may send ends nothing
            _log.error("dropped a message to %.200r", delivery.subject, exc_info=error)

    def _end(self, number: int, error: StoreError) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None and not asked[1].done():
            asked[1].set_exception(error)

    def _end_all(self) -> None:
        for number in list(self._asked):
            self._end(number, Ambiguous("the connection was lost before the answer came"))


def _result_of(future: asyncio.Future[bytes], subject: str) -> bytes | StoreError:
    """Return the answer to a request, or what went wrong with it."""
    if not future.done():
        return Ambiguous(f"{subject}: no answer in time")
    error = future.exception()
    return error if isinstance(error, StoreError) else future.result()


class _AsyncioEvent:
    """A `WireEvent` for asyncio tasks."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()


class _AsyncioSubscription:
    def __init__(
        self, client: NatsClient, takers: dict[int, Callable[[Delivery], None]], subscription: NatsSubscription
    ) -> None:
        self._client = client
        self._takers = takers
        self._subscription = subscription

    async def end(self) -> None:
        """Stop hearing the subject."""
        self._takers.pop(self._subscription._id, None)
        await self._client.end_hearing(self._subscription)


@asynccontextmanager
async def open_asyncio_wire(connection: Connection) -> AsyncIterator[AsyncioWire]:
    """Connect until the context ends. Raises CannotConnect, LoginRefused, InvalidConfig."""
    loop = asyncio.get_running_loop()
    client = NatsClient(_OwnLoop(loop), tls_wanted=connection.tls.wanted, inbox_prefix=connection.inbox_prefix)
    wire = AsyncioWire(client, connection, loop)
    try:
        await wire.open()
        yield wire
    finally:
        await wire.close()
