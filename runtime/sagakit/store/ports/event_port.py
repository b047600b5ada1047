"""The port of the event log: appends that the server deduplicates."""

from __future__ import annotations

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


class EventLog(Protocol):
    """The event log: one stream, or one for each shard."""

    def submit(self, message: EventMessage, done: Done) -> None:
        """Queue an append, without blocking. `done` gets the stream sequence, or the error.

        For a duplicate that is the sequence of the first copy. The error is one of those of `KeyValue.submit`.
        """
        ...
