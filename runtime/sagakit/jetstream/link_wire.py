"""The port `Wire` for trio programs: a thin adapter of a link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio
from nats.aio.subscription import Subscription as NatsSubscription

from sagakit.errors import StoreError, Unavailable
from sagakit.jetstream.link import Link
from sagakit.jetstream.parser import Delivery
from sagakit.jetstream.subscriptions import CLOSE_TIMEOUT
from sagakit.jetstream.wire import Message
from sagakit.store.ports import Subscription, WireEvent, WireMessage, WireRequest


class LinkWire:
    """A `Wire` over an open link. For tasks of the trio program that opened the link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def connected(self) -> bool:
        """True while the connection is up."""
        return self._link.connected

    @property
    def reconnects(self) -> int:
        """Number of times that the connection was lost and came back."""
        return self._link.reconnects

    @property
    def server_version(self) -> str:
        """The release of the server, as in `2.11.4`."""
        return self._link.server_version

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._link.max_payload

    async def request(
        self, subject: str, payload: bytes = b"", *, headers: bytes = b"", timeout: float | None = None
    ) -> bytes:
        """Send a message and return the payload of its answer."""
        return await self._link.request(subject, payload, headers=headers, timeout=timeout)

    async def request_all(self, requests: Sequence[WireRequest]) -> Sequence[bytes | StoreError]:
        """Send messages as `request` does, and return the answers to all of them, or what went wrong with each."""
        return await self._link.request_all([Message(*request) for request in requests])

    def tell(self, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "") -> None:
        """Send a message that wants no answer here."""
        self._link.tell(subject, payload, headers=headers, reply=reply)

    async def hear(self, subject: str, take: Callable[[WireMessage], None]) -> Subscription:
        """Have `take` called for each message of a subject."""
        if not self._link.connected:
            raise Unavailable("disconnected")

        def taken(delivery: Delivery) -> None:
            take(WireMessage(*delivery))

        return _LinkSubscription(self._link, await self._link.subscriptions.divert(subject, taken))

    def new_inbox(self) -> str:
        """Return a subject that nobody else uses."""
        return self._link.client.new_inbox()

    async def until_connected(self) -> None:
        """Return when the connection is up."""
        await self._link.until_connected()

    def event(self) -> WireEvent:
        """Return a flag for trio tasks."""
        return trio.Event()

    async def within(self, seconds: float, event: WireEvent) -> bool:
        """Wait for a flag. Return False if it is not set after so many seconds."""
        with trio.move_on_after(seconds):
            await event.wait()
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await trio.sleep(seconds)

    def now(self) -> float:
        """Return the seconds of trio's clock."""
        return trio.current_time()

    async def together(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        """Run coroutine functions at the same time, and return when all have ended."""
        failed: list[Exception] = []

        async def run(call: Callable[[], Awaitable[Any]]) -> None:
            try:
                await call()
            except Exception as error:  # raised below, outside of the nursery's group
                failed.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(run, call)
        if failed:
            raise failed[0]


class _LinkSubscription:
    def __init__(self, link: Link, subscription: NatsSubscription) -> None:
        self._link = link
        self._subscription = subscription

    async def end(self) -> None:
        """Stop hearing the subject. The server is told even if the caller has been cancelled."""
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await self._link.subscriptions.undivert(self._subscription)
