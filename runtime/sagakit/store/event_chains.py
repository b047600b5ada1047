"""Chains of events: the next event of a saga, and those behind it, which an atomic batch may take along.

Singly, an event is sent only after the one before it was acknowledged, so that no lost event comes after its successor.
A batch is all or nothing and keeps its order, so in one of those several events of a saga may go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from sagakit.errors import StoreError
from sagakit.store.gathering import LARGE, MOST_BYTES, BatchDone, BatchRefused
from sagakit.store.ports import AppendQueue, Done, EventMessage

MOST_MESSAGES = 1_000
"""Messages that the server takes in one batch."""


class EventChain:
    """An event on its way, the first one of its queue if it has one. Those behind it are looked at for a batch only."""

    __slots__ = ("_count", "_done", "_queue", "message")

    def __init__(self, message: EventMessage, done: Done, queue: AppendQueue | None) -> None:
        self.message: EventMessage = message
        self._done = done
        self._queue = queue
        self._count = 0
        """The number of events in the batch; 0 for an event by itself."""

    def single(self) -> EventMessage:
        """Return the event, which goes by itself; if it was in a batch before, that one was refused."""
        if self._queue is not None and self._count:
            self._queue.go_alone(self._count)
        self._count = 0
        return self.message

    def taken(self, most: int, room: int) -> list[EventMessage]:
        """Return the event and at most so many others, of so many bytes in all, that go along with it."""
        found = [self.message]
        for event in () if self._queue is None else islice(self._queue.behind(), most):
            size = len(event.payload)
            room -= size
            if room < 0 or size > LARGE:
                break
            found.append(event)
        self._count = len(found)
        return found

    def ended(self, result: int | StoreError) -> None:
        """Tell what became of the events that were sent."""
        if self._queue is not None and self._count:
            self._queue.go_together(self._count)
        self._done(result)


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
