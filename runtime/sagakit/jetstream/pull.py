"""The pull consumer: one durable consumer that several workers share, read by one of them a page at a time.

The pages come straight from the parser, as scans do, so that nothing but a message's place in the protocol decides what
it is: what comes from the stream has a subject for its acknowledgement, and the server's own words have none. A header
`Status`, which anybody may set, means nothing here. (nats-py goes by that header.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from logging import DEBUG, INFO, WARNING, getLogger
from typing import Any

import msgspec
import trio

from sagakit.errors import StoreError, StreamMissing
from sagakit.jetstream.answers import ApiError
from sagakit.jetstream.link import Link
from sagakit.jetstream.parser import Delivery
from sagakit.jetstream.wire import acknowledges, unsent
from sagakit.ration import Ration

_log = getLogger("sagakit.inbox")

PAGE_BYTES = 4 * 2**20
"""Bytes asked for at once, unless one message may have more."""
EXPIRES = 5.0
"""Seconds that the server keeps a request for a page."""
SLACK = 2.0
"""Seconds without a word after the end of a request from which on it counts as lost."""
FRESH = 0.75
"""Part of the time to acknowledge within which a message must be taken; later the server may give it to others."""
AGAIN = 0.5
"""Seconds until a consumer that could not be made or read is tried again."""
_ENDED = (
    b"NATS/1.0 404",
    b"NATS/1.0 408",
    b"NATS/1.0 409 Message Size Exceeds MaxBytes",
    b"NATS/1.0 409 Batch Completed",
)
"""The server's words at the end of a request."""


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a durable consumer. Its filters must not overlap with those of another one of a work queue.

    `max_ack_pending` is how many messages may be out with workers at once; -1 is no limit. `page` is how many messages
    are asked for at once. `begin` is where a consumer that is made now begins, in the words of its configuration.
    """

    stream: str
    name: str
    filters: Sequence[str]
    ack_wait: float
    max_ack_pending: int
    page: int
    begin: Mapping[str, object] = {}

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as the server has it."""
        return {
            "durable_name": self.name,
            "name": self.name,
            "filter_subjects": list(self.filters),
            "ack_policy": "explicit",
            "ack_wait": round(self.ack_wait * 1e9),
            "max_ack_pending": self.max_ack_pending,
            **self.begin,
        }


class _Made(msgspec.Struct):
    error: ApiError | None = None


_made = msgspec.json.Decoder(_Made)


class Pull:
    """Reads one consumer. For one task of the trio thread."""

    def __init__(self, link: Link, consumer: Consumer) -> None:
        self._link = link
        self._consumer = consumer
        self._inbox = ""
        self._owed = 0
        self._lost = ""
        self._news = trio.Event()
        self._is_ours = acknowledges(consumer.stream, consumer.name)
        self._ration = Ration(_log)
        self._came: deque[tuple[float, Delivery]] = deque()
        """Messages that were not taken yet, each with the time at which it came."""

    def left(self) -> list[Delivery]:
        """Return the messages that have come and were not taken, once."""
        left, self._came = [delivery for _, delivery in self._came], deque()
        return left

    async def deliveries(self) -> AsyncGenerator[Delivery]:
        """Yield what comes, across outages. The next page is asked for when half a page has come and was taken."""
        while True:
            await self._link.until_connected()
            try:
                await self._make()
                async with self._link.subscriptions.diverted(self._take) as self._inbox:
                    self._owed, self._lost = 0, ""
                    while not self._lost:
                        while self._came:
                            came_at, delivery = self._came.popleft()
                            self._ask_ahead()
                            if came_at > trio.current_time() - FRESH * self._consumer.ack_wait:
                                yield delivery
                        self._ask_ahead()
                        await self._until_news()
                reason: object = self._lost
            except StoreError as error:
                reason = error
            level = DEBUG if isinstance(reason, StreamMissing) else INFO  # the link has told that
            _log.log(level, "%s: not read just now: %s", self._consumer.name, reason)
            await trio.sleep(AGAIN)

    async def _make(self) -> None:
        """Make the consumer, or bring one that exists up to date."""
        consumer = self._consumer
        request = msgspec.json.encode({"stream_name": consumer.stream, "config": consumer.config})
        subject = f"$JS.API.CONSUMER.CREATE.{consumer.stream}.{consumer.name}"
        answer = _made.decode(await self._link.request(subject, request))
        if answer.error is not None:
            raise self._link.refused(answer.error, consumer.stream, key=consumer.name)

    def _ask_ahead(self) -> None:
        """Ask for a page once half a page is neither owed nor waits here.

        A page that is asked for when the one before was taken comes several turns of the loop later. In a flood a turn
        takes so long that the server would rather wait for this worker than the other way round.
        """
        page = self._consumer.page
        if self._owed + len(self._came) > page // 2:
            return
        self._owed += page
        page_bytes = max(PAGE_BYTES, 2 * self._link.max_payload)
        request = msgspec.json.encode({"batch": page, "max_bytes": page_bytes, "expires": int(EXPIRES * 1e9)})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer.stream}.{self._consumer.name}"
        self._link.tell(subject, request, reply=self._inbox)

    async def _until_news(self) -> None:
        """Return when something has come. A request that a lost connection took along is asked again at once."""
        self._news = trio.Event()
        since = self._link.reconnected_at
        with trio.move_on_after(EXPIRES + SLACK) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_reconnected, since)
                await self._news.wait()
                nursery.cancel_scope.cancel()
        if patience.cancelled_caught:
            self._lost = "the server has not answered a request"

    async def _until_reconnected(self, since: float) -> None:
        await self._link.until_reconnected(since)
        self._lost = "the connection was lost"
        self._news.set()

    def _take(self, delivery: Delivery) -> None:
        if delivery.reply and not self._is_ours(delivery.reply):
            self._ration.say(WARNING, "%s: ignored a message that it has not handed out", self._consumer.name)
            return
        if delivery.reply:
            self._owed = max(0, self._owed - 1)
            self._came.append((trio.current_time(), delivery))
            self._ask_ahead()
        elif delivery.headers.startswith(_ENDED):
            left = unsent(delivery.headers)
            self._owed = 0 if left is None else max(0, self._owed - left)
        else:
            self._lost = delivery.headers.partition(b"\r\n")[0].decode(errors="replace")
        self._news.set()
