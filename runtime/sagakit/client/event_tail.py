"""The events of sagas as they come: of one saga, of one type or of all, each once and each saga's in order.

Everything here awaits a `Wire` only, so it runs on asyncio and on trio.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from sagakit.client.tail import Tail
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.errors import InvalidInput
from sagakit.store.names import Names
from sagakit.store.ports.wire_port import Wire

RUNS = 100_000
"""Lives of sagas whose last event is remembered. A copy of an event comes soon after it, if at all."""


class SeenEvent(NamedTuple):
    """An event, and the position after it: `EventTail` goes on there if it is given as `after`."""

    position: str
    event: CloudEvent


class EventTail:
    """An async context manager: hears events while it is open. For one task at a time.

    `saga_type` and `saga_id` choose the sagas; None stands for all. `after` is the position of an event that was seen
    before, `since` is in seconds since the epoch. With neither only new events come. Raises InvalidInput for a position
    that is not one of this store.
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
        starts = [0] * names.shards if after is None else _sequences(after, names.shards)
        self._tails = [
            Tail(wire, stream, names.event_filter(shard, saga_type), after=starts[shard], since=since)
            for shard, stream in enumerate(names.events)
        ]
        self._is_new = after is None and since is None
        self._last: dict[str, int] = {}
        self._stack = AsyncExitStack()

    @property
    def behind(self) -> bool:
        """True until `take` has returned all events that were stored when the tail was opened."""
        return any(tail.behind for tail in self._tails)

    async def __aenter__(self) -> Self:
        """Hear the events. Raises Unavailable, NotPermitted, StreamMissing."""
        async with AsyncExitStack() as stack:
            for tail in self._tails:
                if self._is_new:
                    await tail.skip()
                await stack.enter_async_context(tail)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop hearing."""
        await self._stack.aclose()

    async def take(self, within: float) -> list[SeenEvent]:
        """Return the events that have come since the last call; empty if none comes within so many seconds.

        Goes on by itself after an outage. Raises NotPermitted, StreamMissing, RuntimeClosed.
        """
        found: list[list[SeenEvent]] = [[] for _ in self._tails]
        await self._wire.together(*(partial(self._of_shard, number, found, within) for number in range(len(found))))
        return [one for events in found for one in events]

    async def _of_shard(self, number: int, found: list[list[SeenEvent]], within: float) -> None:
        reached = [tail.reached for tail in self._tails]
        for message in await self._tails[number].take(within):
            reached[number] = message.sequence
            event = decode_event(message.payload)
            if event is not None and self._saga_id in (None, event.subject) and self._is_next(event):
                found[number].append(SeenEvent(",".join(map(str, reached)), event))

    def _is_next(self, event: CloudEvent) -> bool:
        """Return False for a copy of an event that was there before: after a crash an event may be stored twice."""
        if event.sequence <= self._last.get(event.run, 0):
            return False
        self._last.pop(event.run, None)  # so that the one that has been silent for the longest time goes first
        self._last[event.run] = event.sequence
        if len(self._last) > RUNS:
            del self._last[next(iter(self._last))]
        return True


def _sequences(position: str, shards: int) -> list[int]:
    words = position.split(",")
    if len(words) != shards or not all(word.isascii() and word.isdigit() for word in words):
        form = "a number" if shards == 1 else f"{shards} numbers with commas, one for each shard"
        raise InvalidInput(f"{position!r} is not a position in the events: it is {form}, as an event has it")
    return [int(word) for word in words]
