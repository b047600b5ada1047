"""Watching: the events of sagas as a stream, in order and each once, which goes on after an outage where it was."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

import msgspec

from sagakit.client.through_outages import through_outages
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.errors import InvalidInput
from sagakit.jetstream.puller import ask, refusal, state_of
from sagakit.store.names import Names, SagaKey
from sagakit.store.ports import Subscription, Wire, WireEvent, WireMessage

START = "start"
"""The position before the first event that is kept."""
BATCH = 256
"""Events that are asked for at once."""
EXPIRES = 20.0
"""Seconds that the server keeps a request for events."""
LOOK = 1.0
"""Seconds between two looks whether the connection was lost meanwhile."""
SLACK = 5.0
"""Seconds that the end of a request may come late."""
RUNS = 10_000
"""Runs whose last events are remembered: a worker may publish an event again, long after the first time."""
UNUSED = 60.0
"""Seconds without use after which the server removes a consumer by itself."""


class SagaEvent(msgspec.Struct, frozen=True):
    """An event of a saga, as `Client.watch` gives it."""

    saga_type: str
    saga_id: str
    event: CloudEvent
    position: str
    """The position after this event: an argument of `watch`."""

    @property
    def type(self) -> str:
        """The event's type, such as `saga.PlaceOrder.completed`."""
        return self.event.type


@asynccontextmanager
async def watching(
    wire: Wire, names: Names, saga_type: str | None, key: str | None, *, after: str | None
) -> AsyncIterator[AsyncIterator[SagaEvent]]:
    """Open the events of a saga, of a type, or of all types. Raises InvalidInput."""
    shards = range(names.shards) if key is None else [names.shard_of(key)]
    positions = _positions(after, len(shards))
    news = _News(wire)
    streams = [_Stream(wire, names, shard, saga_type, key, news) for shard in shards]
    try:
        for stream, position in zip(streams, positions, strict=True):
            await through_outages(wire, partial(stream.begin, position))
        async with aclosing(_merged(wire, streams, news)) as events:
            yield events
    finally:
        for stream in streams:
            await stream.close()


def _positions(after: str | None, wanted: int) -> Sequence[int | None]:
    """Return the sequence of each stream after which the watch begins; None for the end of the stream."""
    if after is None or after == START:
        return [None if after is None else 0] * wanted
    try:
        found = [int(word) for word in after.split(",")]
    except (AttributeError, ValueError):
        found = []
    if len(found) != wanted or min(found) < 0:
        raise InvalidInput(f"after={after!r}: pass the `position` of an event of the same watch, {START!r}, or None")
    return found


class _News:
    """A flag that is set for each message that comes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.flag: WireEvent = wire.event()

    def clear(self) -> WireEvent:
        self.flag = self._wire.event()
        return self.flag


async def _merged(wire: Wire, streams: Sequence[_Stream], news: _News) -> AsyncGenerator[SagaEvent]:
    while True:
        flag = news.clear()
        for stream in streams:
            await through_outages(wire, stream.mind)
        for stream in streams:
            while stream.came:
                event = stream.take()
                if event is not None:
                    position = ",".join(str(one.reached) for one in streams)
                    yield SagaEvent(_type_of(event), event.subject, event, position)
        if not any(stream.came for stream in streams):
            await wire.within(LOOK, flag)


class _Stream:
    """An event stream that is watched by a consumer that is made anew when it is lost."""

    def __init__(
        self, wire: Wire, names: Names, shard: int, saga_type: str | None, key: str | None, news: _News
    ) -> None:
        self._wire = wire
        self._stream = names.events[shard]
        head = "saga" if names.shards == 1 else f"saga.{shard}"
        self._subject = names.subject(f"{head}.>" if saga_type is None else f"{head}.{saga_type}.>")
        self._key = key
        self._news = news
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._reconnects = 0
        self._owed = 0
        self._broken = False
        self._asked_at = 0.0
        self.reached: int = 0
        """The sequence of the last event that was given out, or left out for being of another saga."""
        self._heard = 0
        self.came: deque[tuple[int, bytes]] = deque()
        self._last: OrderedDict[str, int] = OrderedDict()
        """The number of the last event of each run, the run that was heard of last at the end."""

    async def begin(self, position: int | None) -> None:
        """Watch from after a position on; None means from now on. Raises StoreError."""
        if position is None:
            position = (await state_of(self._wire, self._stream, refusal)).last_seq
        self.reached = position
        await self._make()

    async def mind(self) -> None:
        """Make the consumer anew if it was lost, and ask for more events if none are owed. Raises StoreError."""
        if self._broken or self._wire.reconnects != self._reconnects:
            await self._make()
        elif not self.came and self._wire.now() - self._asked_at > EXPIRES + SLACK:
            await self._make()  # the server owes the word that the request has come to its end
        elif not self.came and self._owed <= 0:
            self._ask()

    async def _make(self) -> None:
        await self._remove()
        self.came.clear()
        self._reconnects, self._broken, self._heard = self._wire.reconnects, False, self.reached
        self._inbox = self._wire.new_inbox()
        self._consumer = f"watch-{self._inbox.rpartition('.')[2]}"
        self._subscription = await self._wire.hear(self._inbox, self._take)
        call = f"CONSUMER.CREATE.{self._stream}.{self._consumer}.{self._subject}"
        await ask(self._wire, self._stream, call, self._request(), refusal)
        self._ask()

    def _request(self) -> bytes:
        config: dict[str, object] = {
            "name": self._consumer,
            "filter_subject": self._subject,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(UNUSED * 1e9),
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.reached + 1,
        }
        return msgspec.json.encode({"stream_name": self._stream, "config": config})

    def _ask(self) -> None:
        self._owed, self._asked_at = BATCH, self._wire.now()
        wanted = {"batch": BATCH, "expires": int(EXPIRES * 1e9)}
        call = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        self._wire.tell(call, msgspec.json.encode(wanted), reply=self._inbox)

    def _take(self, message: WireMessage) -> None:
        if message.subject != self._inbox and message.reply:
            words = message.reply.split(".")
            sequence = int(words[5 if len(words) == 9 else 7])
            self._owed -= 1
            if sequence > self._heard:
                self._heard = sequence
                self.came.append((sequence, message.payload))
        else:  # the word that the request has come to its end, or that the consumer is gone
            self._owed = 0
            self._broken = not message.headers.startswith((b"NATS/1.0 404", b"NATS/1.0 408", b"NATS/1.0 409 Batch"))
        self._news.flag.set()

    def take(self) -> CloudEvent | None:
        """Take the next event; None if it is of another saga, or was given out before."""
        self.reached, payload = self.came.popleft()
        event = decode_event(payload)
        if event is None or (self._key is not None and _key_of(event) != self._key):
            return None
        last = self._last.pop(event.run, 0)
        self._last[event.run] = max(last, event.sequence)
        if event.sequence <= last:
            return None
        if len(self._last) > RUNS:
            self._last.popitem(last=False)
        return event

    async def close(self) -> None:
        """Remove the consumer, and hear no more."""
        await self._remove()

    async def _remove(self) -> None:
        if self._consumer:
            call = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}"
            self._wire.tell(call, b"", reply=self._wire.new_inbox())
            self._consumer = ""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.end()


def _type_of(event: CloudEvent) -> str:
    return event.source.removeprefix("sagakit/")


def _key_of(event: CloudEvent) -> str:
    return str(SagaKey(_type_of(event), event.subject))
