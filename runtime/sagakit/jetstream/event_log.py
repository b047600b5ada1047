"""The event log: one stream a shard; the subject decides which."""

from __future__ import annotations

from functools import partial

from sagakit.jetstream.answers import take_ack
from sagakit.jetstream.link import Link
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names
from sagakit.store.ports import Done, EventMessage

_MESSAGE_ID = header_block({"Nats-Msg-Id": "%b"})


class Events:
    """The port `EventLog`, over streams."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    def submit(self, message: EventMessage, done: Done) -> None:
        """Queue an append."""
        take = partial(take_ack, message.key, None, done)
        self._link.send(message.subject, message.payload, take, _MESSAGE_ID % message.id.encode(), linger=True)
