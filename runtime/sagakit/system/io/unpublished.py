"""The unpublished events of a worker, for its metrics: how many there are, and how old the oldest is.

The publisher keeps its queues here. Reading them costs it nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from sagakit.store.ports import EventMessage

LOOKED_AT = 100
"""Number of queues whose first event is looked at, those that have been waiting for longest."""


class Unsent(EventMessage, frozen=True, kw_only=True):
    """Event number `seq` of a run. `at` is its time, in seconds since the epoch."""

    seq: int
    at: float


class EventQueue(Protocol):
    """The events of one saga that are not in the log yet, the oldest first."""

    @property
    def events(self) -> deque[Unsent]:
        """The events."""
        ...


class Unpublished:
    """The events that the present publisher has and that are not in the log yet. For any thread."""

    def __init__(self) -> None:
        self.queues: Mapping[str, EventQueue] = {}
        """The publisher's queues, by run. A queue comes in at the end, and goes when it is empty."""

    def count(self) -> int:
        """Return the number of the events."""
        return sum(len(queue.events) for queue in tuple(self.queues.values()))

    def oldest(self) -> float | None:
        """Return the time of the oldest event, in seconds since the epoch; None if there is none.

        An event that is held up keeps its queue near the front, since all others come and go.
        """
        times = [
            head.at
            for queue in tuple(self.queues.values())[:LOOKED_AT]
            # a copy, since the publisher may take the event away meanwhile
            for head in tuple(queue.events.copy())[:1]
        ]
        return min(times, default=None)
