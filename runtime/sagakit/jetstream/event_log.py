"""The event log: one stream a shard; the subject decides which."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

from sagakit.errors import StoreError
from sagakit.jetstream.answers import decode_ack
from sagakit.jetstream.link import Link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.scan import Scan
from sagakit.jetstream.scan import since as words_of
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
        take = partial(_appended, message.key, done)
        self._link.send(message.subject, message.payload, take, _MESSAGE_ID % message.id.encode(), linger=True)

    async def read(self, key: str, saga_type: str, *, since: float) -> list[bytes]:
        """Return the events that may be of one saga."""
        stream = self._names.events[self._names.shard_of(key)]
        subject = self._names.event_subject(key, saga_type, ">")
        scan = Scan(LinkWire(self._link), stream, [subject], refused=self._link.refused, start=words_of(since))
        async with aclosing(scan.pages()) as pages:
            return [one.payload async for page in pages for one in page]


def _appended(key: str, done: Done, answer: bytes | StoreError) -> None:
    done(decode_ack(answer, key, None) if isinstance(answer, bytes) else answer)
