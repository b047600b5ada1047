"""The event log: one stream a shard; the subject decides which."""

from __future__ import annotations

from functools import partial

from sagakit.errors import StoreError
from sagakit.jetstream.answers import decode_ack
from sagakit.jetstream.link import Link
from sagakit.jetstream.wire import header_block
from sagakit.store.ports import Done, EventMessage

_MESSAGE_ID = header_block({"Nats-Msg-Id": "%b"})


class Events:
    """The port is `EventLog`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def submit(self, message: EventMessage, done: Done) -> None:
        """Queue an append."""
        headers = _MESSAGE_ID % message.id.encode()
        self._link.send(message.subject, message.payload, partial(_appended, message, done), headers=headers)


def _appended(message: EventMessage, done: Done, answer: bytes | StoreError) -> None:
    done(answer if isinstance(answer, StoreError) else decode_ack(answer, key=message.key, expected=None))
