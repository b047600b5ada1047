"""Watching: the events of sagas as they come, of one saga, of one type or of all, each once and each saga's in order.

Everything here awaits a `Wire` only, so it runs on asyncio and on trio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from sagakit.client.shown_values import ShownValues
from sagakit.client.tail import News, Tail
from sagakit.client.through_outages import through_outages
from sagakit.definition.payloads import Payloads
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.errors import InvalidInput
from sagakit.store.names import Names, SagaKey
from sagakit.store.ports import Wire

START = "start"
"""The position before the first event that is kept."""
LOOK = 1.0
"""Seconds between two looks whether the connection was lost meanwhile."""
RUNS = 100_000
"""Runs whose last event is remembered: a worker may publish an event again, long after the first time."""


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
    wire: Wire, names: Names, saga_type: str | None, saga_id: str | None, payloads: Payloads, *, after: str | None
) -> AsyncIterator[AsyncIterator[SagaEvent]]:
    """Open the events of a saga, of a type, or of all types, with plain values if possible. Raises InvalidInput."""
    tail = EventTail(wire, names, saga_type=saga_type, saga_id=saga_id, after=after)
    async with tail, aclosing(_one_by_one(tail, ShownValues(payloads, words=False))) as events:
        yield events


async def _one_by_one(tail: EventTail, values: ShownValues) -> AsyncGenerator[SagaEvent]:
    while True:
        for event in await tail.take(LOOK):
            opened = values.event(event.event)
            yield event if opened is event.event else msgspec.structs.replace(event, event=opened)


class EventTail:
    """An async context manager: hears events while it is open. For one task at a time.

    `saga_type` and `saga_id` choose the sagas; None stands for all. `after` is START, or the position of an event that
    was seen before; `since` is in seconds since the epoch. With neither only new events come. Raises InvalidInput for a
    position that is not one of this store.
    """

    def __init__(
        self,
        wire: Wire,
        names: Names,
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
        after: str | None = None,
        since: float | None = None,
    ) -> None:
        self._wire = wire
        self._saga_id = saga_id
        shards = range(names.shards)
        if saga_type is not None and saga_id is not None:
            shard = names.shard_of(str(SagaKey(saga_type, saga_id)))
            shards = range(shard, shard + 1)
        begins = _sequences(after, shards, names.shards)
        self._news = news = News(wire)
        self._tails = [
            Tail(wire, names.events[shard], names.event_filter(shard, saga_type), after=begin, since=since, news=news)
            for shard, begin in zip(shards, begins, strict=True)
        ]
        self._is_new = after is None and since is None
        self._last: dict[str, int] = {}
        """The number of the last event of each run, the run that was heard of last at the end."""
        self._stack = AsyncExitStack()

    @property
    def behind(self) -> bool:
        """True until `take` has returned all events that were stored when the tail was opened."""
        return any(tail.behind for tail in self._tails)

    async def __aenter__(self) -> Self:
        """Hear the events; wait through an outage. Raises NotPermitted, StreamMissing."""
        async with AsyncExitStack() as stack:
            for tail in self._tails:
                if self._is_new:
                    await through_outages(self._wire, tail.skip)
                await through_outages(self._wire, partial(stack.enter_async_context, tail))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop hearing."""
        await self._stack.aclose()

    async def take(self, within: float) -> list[SagaEvent]:
        """Return the events that have come since the last call; empty if none comes within so many seconds.

        Goes on by itself after an outage. Raises NotPermitted, StreamMissing, RuntimeClosed.
        """
        for tail in self._tails:
            await tail.mind(within)
        await self._news.wait(within)
        return [event for tail in self._tails for event in self._taken(tail)]

    def _taken(self, tail: Tail) -> Iterator[SagaEvent]:
        reached = {one: one.reached for one in self._tails}
        for message in tail.taken():
            reached[tail] = message.sequence
            event = decode_event(message.payload)
            if event is not None and self._saga_id in (None, event.subject) and self._is_next(event):
                position = ",".join(str(sequence) for sequence in reached.values())
                yield SagaEvent(event.source.removeprefix("sagakit/"), event.subject, event, position)

    def _is_next(self, event: CloudEvent) -> bool:
        """Return False for a copy of an event that was there before: after a crash an event may be stored twice."""
        last = self._last.pop(event.run, 0)
        self._last[event.run] = max(last, event.sequence)  # at the end: the run that is silent for longest goes first
        if len(self._last) > RUNS:
            del self._last[next(iter(self._last))]
        return event.sequence > last


def _sequences(after: str | None, shards: Sequence[int], all_shards: int) -> Sequence[int]:
    """Return the sequences after which the tails of these shards begin. Raises InvalidInput."""
    if after is None or after == START:
        return [0] * len(shards)
    words = after.split(",") if isinstance(after, str) else []
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        raise InvalidInput(f"after={after!r}: pass the `position` of an event of the same watch, {START!r}, or None")
    if len(words) == all_shards:
        return [int(words[shard]) for shard in shards]
    if len(words) != len(shards):
        form = "a number" if len(shards) == 1 else f"{len(shards)} numbers with commas, one for each shard"
        raise InvalidInput(f"{after!r} is not a position in the events: it is {form}, as an event has it")
    return [int(word) for word in words]
