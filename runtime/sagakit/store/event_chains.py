"""Chains of events: the next event of a saga, and those behind it, which an atomic batch may take along.

Singly, an event is sent only after the one before it was acknowledged, so that no lost event comes after its successor.
A batch is all or nothing and keeps its order, so in one of those several events of a saga may go together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sagakit.errors import StoreError
from sagakit.store.gathering import LARGE, MOST_BYTES, BatchDone, BatchRefused
from sagakit.store.ports import AppendQueue, Done, EventMessage

MOST_MESSAGES = 1_000
"""Messages that the server takes in one batch."""


class EventChain(msgspec.Struct):
    """An event on its way, the first one of its queue if it has one. Those behind it are looked at for a batch only."""

    message: EventMessage
    done: Done
    queue: AppendQueue | None
    count: int = 0
    """The number of events in the batch; 0 for an event by itself."""

    def single(self) -> EventMessage:
        """Return the event, which goes by itself; if it was in a batch before, that one was refused."""
        if self.queue is not None and self.count:
            self.queue.go_alone(self.count)
        self.count = 0
        return self.message

    def behind(self) -> Iterable[EventMessage]:
        """Return the events that may go along with this one."""
        return () if self.queue is None else self.queue.behind()

    def ended(self, result: int | StoreError) -> None:
        """Tell what became of the events that were sent."""
        if self.queue is not None and self.count:
            self.queue.go_together(self.count)
        self.done(result)


def put_together(chains: Sequence[EventChain], done: BatchDone) -> tuple[list[EventMessage], BatchDone]:
    """Return the messages of a batch of these chains, and the callback for the sequences of its messages."""
    messages: list[EventMessage] = []
    firsts: list[int] = []
    spare, room = MOST_MESSAGES - len(chains), MOST_BYTES - sum([len(chain.message.payload) for chain in chains])
    for chain in chains:
        firsts.append(len(messages))
        messages.append(chain.message)
        for event in chain.behind():
            size = len(event.payload)
            if not spare or size > min(room, LARGE):
                break
            messages.append(event)
            spare -= 1
            room -= size
        chain.count = len(messages) - firsts[-1]

    def ended(result: Sequence[int] | BatchRefused | StoreError) -> None:
        done(result if isinstance(result, BatchRefused | StoreError) else [result[first] for first in firsts])

    return messages, ended
