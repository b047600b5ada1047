"""Chains of events: the next event of a saga, and those behind it, which an atomic batch may take along.

Singly, an event is sent only after the one before it was acknowledged, so that no lost event comes after its successor.
A batch is all or nothing and keeps its order, so in one of those several events of a saga may go together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from sagakit.errors import StoreError
from sagakit.store.gathering import LARGE, MOST_BYTES, BatchDone, BatchRefused
from sagakit.store.ports import AppendQueue, Done, EventMessage

MOST_MESSAGES = 1_000
"""Messages that the server takes in one batch."""


class SingleEvent:
    """An event that takes no others along."""

    __slots__ = ("_done",)

    def __init__(self, done: Done) -> None:
        self._done = done

    def behind(self) -> Iterable[EventMessage]:
        """Return no event."""
        return ()

    def ended(self, result: int | StoreError, _: int = 1) -> None:
        """Take the result of the event."""
        self._done(result)

    def refused(self, _: int) -> None:
        """Do nothing: there is no other event that could be at fault."""


class EventChain:
    """The first event of a queue. Those behind it are looked at only when a batch is put together."""

    __slots__ = ("_count", "_queue", "message")

    def __init__(self, message: EventMessage, queue: AppendQueue) -> None:
        self.message: EventMessage = message
        self._queue = queue
        self._count = 0
        """The number of events in the batch."""

    def single(self) -> EventMessage:
        """Return the first event, which goes by itself; if it was in a batch before, that one was refused."""
        if self._count:
            self._queue.refused(self._count)
        self._count = 1
        return self.message

    def taken(self, most: int, room: int) -> list[EventMessage]:
        """Return the first event and at most so many others, of so many bytes in all, that go along with it."""
        found = [self.message]
        for event in islice(self._queue.behind(), most):
            size = len(event.payload)
            room -= size
            if room < 0 or size > LARGE:
                break
            found.append(event)
        self._count = len(found)
        return found

    def ended(self, result: int | StoreError) -> None:
        """Tell the queue what became of the events that were sent."""
        self._queue.ended(result, self._count)


def put_together(chains: Sequence[EventChain], done: BatchDone) -> tuple[list[EventMessage], BatchDone]:
    """Return the messages of a batch of these chains, and the callback for the sequences of its messages."""
    messages: list[EventMessage] = []
    firsts: list[int] = []
    spare, room = MOST_MESSAGES - len(chains), MOST_BYTES - sum(len(chain.message.payload) for chain in chains)
    for chain in chains:
        firsts.append(len(messages))
        events = chain.taken(spare, room)
        spare -= len(events) - 1
        room -= sum(len(event.payload) for event in events[1:])
        messages += events

    def ended(result: Sequence[int] | BatchRefused | StoreError) -> None:
        done(result if isinstance(result, BatchRefused | StoreError) else [result[first] for first in firsts])

    return messages, ended
