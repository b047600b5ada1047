"""The link: one NATS connection, seen from trio. Everything that is sent and answered goes through it.

The link is the face of its parts. The pump (`pump.py`) queues messages, writes them in batches and hands out answers.
The sweeper (`sweeper.py`) ends what is overdue. The route (`route.py`) is how frames get onto the present connection,
and who reads it. The connection's state (`connection_state.py`) is what tasks wait for during an outage. nats-py's
client lives on the asyncio side (`asyncio_side.py`), which may be another thread; all that is pending lives in trio's.

While disconnected nothing is queued: what was not sent ends as Unavailable, what was sent without answer as Ambiguous.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from logging import getLogger
from typing import Any, TypeVar

import trio

from sagakit.errors import Ambiguous, InternalError, NotPermitted, StoreError, StreamMissing
from sagakit.jetstream.answers import ApiError, to_error
from sagakit.jetstream.asyncio_side import AsyncioSide
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.connection_errors import ConnectionErrors
from sagakit.jetstream.connection_state import ConnectionState
from sagakit.jetstream.leaders import Leaders
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.parser import AnswerParser
from sagakit.jetstream.pump import Pump, Taker
from sagakit.jetstream.route import Route, find_route
from sagakit.jetstream.subscriptions import Subscriptions
from sagakit.jetstream.sweeper import SWEEP, Sweeper
from sagakit.jetstream.wire import Message

_log = getLogger("sagakit.link")

T = TypeVar("T")


class Link:
    """An open connection. For tasks of the trio thread that opened it."""

    def __init__(self, client: NatsClient, connection: Connection, side: AsyncioSide) -> None:
        self.client = client
        self._side = side
        self._connection = connection
        self.pump: Pump = Pump(client, connection, self._broken)
        self.pump.tick(trio.current_time() + SWEEP)
        self._state = ConnectionState(lambda: self.connected)
        self._sweeper = Sweeper(self.pump, self._ask, self.until_connected, self.refused)
        self.subscriptions: Subscriptions = Subscriptions(client, side, self.pump)
        self._parser: AnswerParser
        self._route: Route | None = None
        self._regained = trio.Event()
        """Set when nats-py has a connection, until a route onto it is looked for."""
        self._losses = 0
        """The connections lost so far."""
        self.connection_errors: ConnectionErrors = ConnectionErrors()
        self._asked: dict[Taker, str] = {}
        """The subjects of requests under way, for those that the server refuses."""
        self._failure: Exception | None = None
        self._failed = trio.Event()

    # ------------------------------------------------------------- the connection

    @property
    def leaders(self) -> Leaders:
        """Streams that have lost their leader."""
        return self._sweeper.leaders

    @property
    def sent(self) -> int:
        """Messages written so far."""
        return self.pump.sent

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self.client.max_payload

    @property
    def may_have_leaf_nodes(self) -> bool:
        """True if the server may be a leaf node, or have some: it names a domain, or a cluster, as leaf nodes do."""
        told = self.client._server_info
        return bool(told.get("domain") or told.get("cluster"))

    @property
    def connect_timeout(self) -> float:
        """Seconds until opening gives up."""
        return self._connection.connect_timeout

    @property
    def connected(self) -> bool:
        """True while the connection is up."""
        return self.pump.connected

    @property
    def reconnected_at(self) -> float:
        """Time, by trio's clock, when the connection last came back."""
        return self._state.reconnected_at

    @property
    def server_version(self) -> str:
        """The release of the server, as in `2.11.4`."""
        return self.client.server_version

    @property
    def reconnects(self) -> int:
        """Number of times that the connection came back."""
        return self._state.reconnects

    async def until_connected(self) -> None:
        """Return when the connection is up. Raises RuntimeClosed when it never will be again."""
        await self._state.until_connected()

    async def until_reconnected(self, since: float) -> None:
        """Return when the connection has come back after `since`."""
        await self._state.until_reconnected(since)

    async def until_room(self) -> None:
        """Return when little enough is queued and unanswered; at once if that is so, without a turn for others."""
        await self.pump.until_room()

    # -------------------------------------------------------------------- sending

    def tell(
        self, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "", linger: bool = False
    ) -> None:
        """Queue a message that wants no answer here; it is lost if the connection is. The rest as in `Pump.send`."""
        self.pump.send(subject, payload, None, headers, linger=linger, reply=reply)

    async def request(
        self, subject: str, payload: bytes, *, headers: bytes = b"", timeout: float | None = None
    ) -> bytes:
        """Send and wait for the answer. Raises StoreError. Cancelled, the message may still have its effect.

        A subject that the account may not publish to ends as NotPermitted at once; what was only sent stays ambiguous,
        and waits for the permission as for an outage.
        """
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        answers: list[bytes | StoreError] = []

        def take(answer: bytes | StoreError) -> None:
            if answers:  # the server refused the subject, and then the deadline came
                return
            answers.append(answer)
            if task is not None:
                trio.lowlevel.reschedule(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal task
            task = None  # the answer may still come, and must not wake a task that has gone on
            return trio.lowlevel.Abort.SUCCEEDED

        self._asked[take] = subject
        try:
            self.pump.send(subject, payload, take, headers, timeout=timeout)
            await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            del self._asked[take]
        answer = answers[0]
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def request_all(self, messages: Sequence[Message]) -> list[bytes | StoreError]:
        """Send messages as `request` does, and return the answers to all of them, or what went wrong with each.

        One task waits for all, and is woken once: that costs less than a task for each message.
        """
        answers: dict[int, bytes | StoreError] = {}
        all_came = trio.Event()

        def take(place: int, answer: bytes | StoreError) -> None:
            answers.setdefault(place, answer)  # the server refused the subject, and then the deadline came
            if len(answers) == len(messages):
                all_came.set()

        takers = [partial(take, place) for place in range(len(messages))]
        self._asked.update(zip(takers, (message.subject for message in messages), strict=True))
        try:
            for taker, (subject, headers, payload) in zip(takers, messages, strict=True):
                self.pump.send(subject, payload, taker, headers)
            if messages:
                await all_came.wait()
        finally:
            for taker in takers:
                del self._asked[taker]
        return [answers[place] for place in range(len(messages))]

    async def _ask(self, subject: str, payload: bytes, timeout: float) -> bytes:
        return await self.request(subject, payload, timeout=timeout)

    def refused(self, error: ApiError, stream: str, *, key: str = "") -> StoreError:
        """Return the error of a request about a stream, or about a key in it; tell of a stream that is missing."""
        found = to_error(error, key=key or stream, expected=None, stream=stream)
        if isinstance(found, StreamMissing):
            self.connection_errors.missing(found)
        return found

    async def on_asyncio(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Run an asyncio function of nats-py: one crossing, for what is rare. From any task of the trio thread."""
        return await self._side.call(fn, *args, **kwargs)

    # ------------------------------------------------------------- tasks of a link

    async def read(self) -> None:
        """Read what comes in, connection by connection. Until cancelled."""
        while True:
            if self._route is not None:
                try:
                    await self._route.read()
                finally:
                    self._leave_route()
            await self._regained.wait()
            if await self._find_route():
                self._state.came_back()

    async def _find_route(self) -> bool:
        """Have the pump write to the present connection. False if that is lost already.

        The pump is without a route meanwhile: frames that took two ways onto one connection could overtake each other.
        """
        self._regained, losses = trio.Event(), self._losses
        route = await self.on_asyncio(find_route, self._side, self.client, self._parser, self.pump.pending)
        self._route = route
        if route is None or losses != self._losses:  # a loss was heard of before the way to it was known here
            self._leave_route()
            return False
        self.pump.connect(route.write)
        return True

    def _leave_route(self) -> None:
        self.pump.disconnect()
        if self._route is not None:
            self._route.close()
            self._route = None

    async def sweep(self) -> None:
        """End what is overdue, until cancelled."""
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            self.pump.tick(now + SWEEP)  # never early, until the next sweep
            self._sweeper.sweep(now)

    async def fail(self) -> None:
        """Raise InternalError once an answer could not be taken in, NotPermitted once a subscription was refused."""
        await self._failed.wait()
        if isinstance(self._failure, NotPermitted):
            raise self._failure
        raise InternalError("an answer of the server could not be taken in") from self._failure

    def _broken(self, error: Exception) -> None:
        """End the link after a bug of ours: nothing that is built on it can be trusted any more."""
        _log.critical("an answer could not be taken in", exc_info=error)
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._failed.set()

    # ---------------------------------------------------------- nats-py's callbacks

    def on_error(self, error: Exception) -> None:
        """Note what nats-py reports, and end the requests that the server refused."""
        refused = self.connection_errors.add(error)
        if refused is None:
            return
        if not refused.publish:  # nothing would ever come: better no worker than a deaf one
            self._fail(refused)
        asked = [(take, self._connection.routed(subject)) for take, subject in self._asked.items()]
        for take, subject in asked:
            if subject.lower() == refused.subject.lower():  # the server's word arrives in lower case
                take(NotPermitted(subject, publish=True))

    def on_disconnected(self) -> None:
        """End everything that is under way: what was sent is ambiguous, what was queued was never sent."""
        self._losses += 1
        self.pump.disconnect()
        if self._route is not None:
            self._route.leave()
        if not self._state.closing:
            _log.warning("disconnected from NATS; sagas wait")
        lost = "the connection was lost before the answer came"
        self.pump.end(list(self.pump.pending), lambda _: Ambiguous(lost))
        self.pump.drop_queue("disconnected")

    def on_reconnected(self) -> None:
        """Have the new connection routed, which lets the tasks go on that wait for it."""
        _log.warning("connected to NATS again")
        self.connection_errors.over()
        self._regained.set()

    # ---------------------------------------------------------- opening and closing

    async def start(self) -> None:
        """Subscribe the inbox. The server knows of it before the pump sends anything."""
        self._parser = await self.subscriptions.open_inbox()
        while not (await self.on_asyncio(self.client.answers) and await self._find_route()):
            if not self.client.is_connected:  # without a connection nothing is asked
                await self._regained.wait()

    async def close(self) -> None:
        """Close the connection; what is under way ends as after a disconnect."""
        self._state.closing = True
        self._leave_route()  # opening may have been given up before `read` began
        await self.on_asyncio(self.client.shut)
        self._state.closed()
