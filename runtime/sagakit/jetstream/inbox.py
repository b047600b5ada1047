"""The work queue of inbound messages: one durable pull consumer a saga type, shared by the workers that know it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from logging import getLogger
from math import inf

import msgspec
import nats.errors
import trio
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from sagakit.errors import InternalError, StoreError
from sagakit.jetstream.answers import NO_MESSAGE, ApiError, decode_ack, to_error
from sagakit.jetstream.domains import check_only_ours_captures
from sagakit.jetstream.link import Link
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names, SagaKey
from sagakit.store.ports import InboundMessage

_log = getLogger("sagakit.inbox")

Fetch = Callable[..., Awaitable[list[Msg]]]
FETCH = 64
FETCH_TIMEOUT = 0.5
"""Seconds that one fetch waits: short, because whoever stops waits for it. A cancelled fetch leaves its request on the
server, which would hand a message to nobody."""
ACK_WAIT = 30.0
"""Seconds after which an unacknowledged message comes again."""


class _Stored(msgspec.Struct):
    seq: int


class _First(msgspec.Struct):
    message: _Stored | None = None
    error: ApiError | None = None


_first = msgspec.json.Decoder(_First)


class _Fetched:
    """What was fetched and is not taken yet. Each type has room of its own, for one fetch: none waits for another's."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[InboundMessage | InternalError](inf)
        self._waiting = Counter[str]()
        self.stopped = asyncio.Event()

    def has_room(self, saga_type: str) -> bool:
        return not self._waiting[saga_type]

    def put(self, message: InboundMessage) -> None:
        self._waiting[message.saga_type] += 1
        self._send.send_nowait(message)

    def ended(self, fetching: asyncio.Task[None]) -> None:
        """Before it was stopped: whoever takes messages is told, instead of waiting for those of a type for ever."""
        if not self.stopped.is_set():
            failure = InternalError("the inbox is not fetched any more")
            failure.__cause__ = None if fetching.cancelled() else fetching.exception()
            self._send.send_nowait(failure)

    def release(self) -> None:
        """All that nobody took."""
        while self._receive.statistics().current_buffer_used:
            found = self._receive.receive_nowait()
            if isinstance(found, InboundMessage):
                found.release()

    def __aiter__(self) -> AsyncIterator[InboundMessage]:
        return self

    async def __anext__(self) -> InboundMessage:
        found = await self._receive.receive()
        if isinstance(found, InternalError):
            raise found
        self._waiting[found.saga_type] -= 1
        return found


class StreamInbox:
    """The port is `Inbox`."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    async def send(self, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append; durable once this returns."""
        key = SagaKey(saga_type, saga_id)
        answer = await self._link.request(
            self._names.inbox_subject(key), payload, headers=header_block({"Nats-Msg-Id": id})
        )
        result = decode_ack(answer, key=str(key), expected=None)
        if isinstance(result, StoreError):
            raise result

    async def is_first(self, message: InboundMessage) -> bool:
        """Whether no earlier message to the same saga is there."""
        subject = self._names.inbox_subject(SagaKey(message.saga_type, message.saga_id))
        request = msgspec.json.encode({"next_by_subj": subject, "seq": 1})
        answer = _first.decode(await self._link.request(f"$JS.API.STREAM.MSG.GET.{self._names.inbox}", request))
        if answer.error is not None and answer.error.err_code != NO_MESSAGE:
            raise to_error(answer.error, key=subject, expected=None)
        return answer.message is None or answer.message.seq >= message.position

    async def check_only_ours(self) -> None:
        """Refuse streams of other domains on our subjects."""
        await check_only_ours_captures(self._link, self._names)

    @asynccontextmanager
    async def receive(self, saga_types: Sequence[str]) -> AsyncIterator[AsyncIterator[InboundMessage]]:
        """The messages for these types; goes on across outages. Those that nobody took go back on the way out."""
        fetched = _Fetched()
        tasks: list[asyncio.Task[None]] = []
        try:
            for saga_type in saga_types:
                tasks.append(await self._link.on_asyncio(self._start, saga_type, fetched))
            yield fetched
        finally:
            fetched.stopped.set()
            with trio.move_on_after(2 * FETCH_TIMEOUT, shield=True):
                await self._link.on_asyncio(partial(asyncio.gather, return_exceptions=True), *tasks)
            for task in tasks:
                task.cancel()
            fetched.release()

    async def _start(self, saga_type: str, fetched: _Fetched) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._fetch(saga_type, fetched))
        task.add_done_callback(fetched.ended)
        return task

    async def _fetch(self, saga_type: str, fetched: _Fetched) -> None:
        """On the asyncio side: fetch while there is room."""
        head = self._names.subject(f"sagain.{saga_type}.")
        while not fetched.stopped.is_set():
            try:
                async with self._pulling(saga_type, head) as fetch:
                    while not fetched.stopped.is_set():
                        await self._fetch_once(fetch, head, saga_type, fetched)
            except (nats.errors.Error, OSError) as error:
                _log.info("%s: inbox away: %s", saga_type, error)
                await asyncio.sleep(0.5)

    @asynccontextmanager
    async def _pulling(self, saga_type: str, head: str) -> AsyncIterator[Fetch]:
        """What fetches from the type's consumer, which is made if it is not there; no subscription is left behind."""
        js = self._link.client.jetstream(timeout=5)
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT)
        subscription = await js.pull_subscribe(head + "*", durable=saga_type, stream=self._names.inbox, config=config)
        try:
            yield subscription.fetch
        finally:
            with suppress(nats.errors.Error, OSError):  # it is gone with its connection
                await subscription.unsubscribe()

    async def _fetch_once(self, fetch: Fetch, head: str, saga_type: str, fetched: _Fetched) -> None:
        if not fetched.has_room(saga_type):
            await asyncio.sleep(0.05)
            return
        try:
            found = await fetch(FETCH, timeout=FETCH_TIMEOUT)
        except TimeoutError:  # also the plain one, which nats-py raises when little time is left
            return
        for msg in found:
            message = self._message(head, saga_type, msg)
            if message is not None:
                fetched.put(message)

    def _message(self, head: str, saga_type: str, msg: Msg) -> InboundMessage | None:
        ack = partial(self._link.tell, msg.reply, b"+ACK", linger=True)
        try:
            key = SagaKey.parse(f"{saga_type}.{msg.subject[len(head) :]}")
        except ValueError:
            _log.error("%s: not a saga's address: message dropped", msg.subject)
            ack()
            return None
        message_id = (msg.headers or {}).get("Nats-Msg-Id") or f"seq-{msg.metadata.sequence.stream}"
        release = partial(self._link.tell, msg.reply, b"-NAK")
        position = msg.metadata.sequence.stream
        return InboundMessage(message_id, saga_type, key.saga_id, position, msg.data, ack, release)
