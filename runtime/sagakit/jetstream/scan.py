"""Reading much of a stream, by a consumer that is removed again. A `Scan` runs on the asyncio side."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import trio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from sagakit.jetstream.link import Link

PAGE = 500
"""Messages fetched at once."""
END_TIMEOUT = 1.0
"""Seconds that removing the consumer may take; after half a minute without use it goes by itself."""


class Scan:
    """What stood under `subject` when the scan began, a page at a time: however much it is, one page is in memory.

    What is written meanwhile is left out: a busy stream would never end.
    """

    def __init__(self, client: Client, stream: str, subject: str, **start: Any) -> None:
        self._js = client.jetstream(timeout=5)
        self._stream = stream
        self._subject = subject
        self._start = start
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._consumer = ""
        self._last = 0
        self._left = 0

    async def begin(self) -> None:
        """Make the consumer."""
        self._last = (await self._js.stream_info(self._stream)).state.last_seq
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE, mem_storage=True, num_replicas=1, inactive_threshold=30.0, **self._start
        )
        self._subscription = await self._js.pull_subscribe(self._subject, stream=self._stream, config=config)
        info = await self._subscription.consumer_info()
        self._consumer, self._left = info.name, info.num_pending or 0

    async def page(self) -> list[Msg]:
        """The next messages; none at the end."""
        assert self._subscription is not None, "begun"
        found: list[Msg] = []
        while self._left > 0 and not found:
            try:
                page = await self._subscription.fetch(min(PAGE, self._left), timeout=1)
            except TimeoutError:  # what was left may have been replaced meanwhile
                self._left = (await self._subscription.consumer_info()).num_pending or 0
                continue
            for msg in page:
                self._left = msg.metadata.num_pending if msg.metadata.sequence.stream < self._last else 0
                if msg.metadata.sequence.stream <= self._last:
                    found.append(msg)
        return found

    async def end(self) -> None:
        """Remove the consumer."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            await self._js.delete_consumer(self._stream, self._consumer)


def last_of_each(client: Client, stream: str, subject: str) -> Scan:
    """The last message of each subject."""
    return Scan(client, stream, subject, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)


def since(client: Client, stream: str, subject: str, start: float) -> Scan:
    """What was stored from `start` on, in seconds since the epoch."""
    return Scan(
        client,
        stream,
        subject,
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=datetime.fromtimestamp(start, UTC).isoformat(),
    )


async def pages(link: Link, scan: Scan) -> AsyncGenerator[list[Msg]]:
    """The pages of a scan, for a trio task. Raises nats-py's errors, OSError."""
    try:
        await link.on_asyncio(scan.begin)
        while page := await link.on_asyncio(scan.page):
            yield page
    finally:
        with trio.move_on_after(END_TIMEOUT, shield=True):
            await link.on_asyncio(scan.end)
