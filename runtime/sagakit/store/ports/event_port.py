"""The port of the event log: appends that the server deduplicates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from sagakit.store.ports.bucket_port import Done


class EventMessage(msgspec.Struct, frozen=True):
    """An event on its way to the log. `key` is the saga's and picks the shard; `id` becomes `Nats-Msg-Id`.

    An event that is `alone` shares no atomic batch with others: one that may be in the log already.
    """

    key: str
    subject: str
    id: str
    payload: bytes
    alone: bool = False


class AppendQueue(Protocol):
    """The events of one saga that are not in the log yet, the oldest first. It grows at its end at any time."""

    def behind(self) -> Iterable[EventMessage]:
        """Return the events behind the first one that may share a batch with it, in their order."""
        ...

    def go_together(self, count: int, /) -> None:
        """Note that the next result is that of the first `count` events, whose sequences follow each other."""
        ...

    def go_alone(self, count: int, /) -> None:
        """Note that a batch with the first `count` events was refused. The first one is sent again by itself."""
        ...


class EventLog(Protocol):
    """The event log: one stream, or one for each shard."""

    def submit(self, message: EventMessage, done: Done, queue: AppendQueue | None = None, /) -> None:
        """Queue an append, without blocking. `done` gets the stream sequence, or the error.

        For a duplicate that is the sequence of the first copy. The error is one of those of `KeyValue.submit`.
        `message` is the first event of `queue`, if that is given: an atomic batch may take along those behind it, in
        their order; all are appended then, or none.
        """
        ...
