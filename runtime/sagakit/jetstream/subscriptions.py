"""The subscriptions of a link: its inbox, subjects that trio hears, and those whose messages nats-py does not see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from logging import getLogger

import nats.errors
import trio
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from sagakit.errors import NoResponders, Unavailable
from sagakit.jetstream.asyncio_side import AsyncioSide
from sagakit.jetstream.nats_client import NatsClient
from sagakit.jetstream.parser import AnswerParser, Delivery, Takers
from sagakit.jetstream.pump import Pump

_log = getLogger("sagakit.link")

CLOSE_TIMEOUT = 2.0
"""Seconds that ending a subscription, or the connection, may take."""


class Subscriptions:
    """The subscriptions of one link. nats-py makes them anew after a reconnect. For tasks of the trio thread."""

    def __init__(self, client: NatsClient, side: AsyncioSide, pump: Pump) -> None:
        self._client = client
        self._side = side
        self._pump = pump
        self._diverted: dict[int, Callable[[Delivery], None]] = {}
        """The takers of subscriptions that nats-py does not see, by the subscription's number."""

    async def hear(self, subject: str, hear: Callable[[Msg], None]) -> Subscription:
        """Have `hear` called for each message of a subject."""
        return await self._side.call(self._client.subscribe, subject, cb=self._crossing(hear))

    @asynccontextmanager
    async def diverted(self, take: Callable[[Delivery], None]) -> AsyncIterator[str]:
        """Yield a subject whose messages go straight to `take` while the context is open."""
        inbox = self._client.new_inbox()
        subscription = await self._side.call(self._client.subscribe, inbox)
        self._diverted[subscription._id] = take
        try:
            yield inbox
        finally:
            del self._diverted[subscription._id]
            with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self.end(subscription)

    async def divert(self, subject: str, take: Callable[[Delivery], None]) -> Subscription:
        """Have `take` called for each message of a subject, which nats-py does not see. `undivert` ends that.

        The server knows of it when this returns. Raises Unavailable, NotPermitted.
        """
        try:
            return await self._side.call(self._client.hear, subject, self._diverted, take)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"{subject} cannot be heard: {error}") from error

    async def undivert(self, subscription: Subscription) -> None:
        """End what `divert` has begun."""
        self._diverted.pop(subscription._id, None)
        await self.end(subscription)

    async def end(self, subscription: Subscription) -> None:
        """End a subscription; where the connection is lost, it has ended with it."""
        await self._side.call(self._client.end_hearing, subscription)

    async def open_inbox(self) -> AnswerParser:
        """Subscribe the inbox, and return the parser that knows its answers."""
        inbox, here = self._pump.inbox, self._side.here
        takers = Takers(self._pump.answers, self._deliver, self._diverted)

        async def subscribe() -> AnswerParser:
            subscription = await self._client.subscribe(
                inbox + ".*", cb=self._crossing(self._answered), pending_msgs_limit=2**31, pending_bytes_limit=2**40
            )
            parser = AnswerParser(self._client, inbox, subscription._id, takers, here)
            self._client._ps = parser
            return parser

        return await self._side.call(subscribe)

    def _crossing(self, hear: Callable[[Msg], None]) -> Callable[[Msg], Awaitable[None]]:
        """Return the coroutine function that nats-py wants for a callback."""

        def heard(msg: Msg) -> None:
            try:
                hear(msg)
            except Exception as error:  # what others may send ends nothing
                _log.error("dropped a message to %.200r", msg.subject, exc_info=error)

        async def cross(msg: Msg) -> None:
            self._side.here(heard, msg)

        return cross

    def _deliver(self, sid: int, delivery: Delivery) -> None:
        take = self._diverted.get(sid)
        if take is None:  # the context was left while this was on its way
            return
        try:
            take(delivery)
        except Exception as error:  # what others may send ends nothing
            _log.error("dropped a message to %.200r", delivery.subject, exc_info=error)

    def _answered(self, msg: Msg) -> None:
        """Take an answer with headers, which the parser leaves to nats-py: as a rule the word that nobody answers."""
        number = int(msg.subject[len(self._pump.inbox) + 1 :])
        if not msg.data and msg.headers is not None and msg.headers.get("Status") == "503":
            nobody = NoResponders("nobody answers: no such stream, no leader now, or no listener")
            self._pump.answer(number, nobody)
        else:
            self._pump.answer(number, msg.data)
