"""The event log: one stream a shard; the subject decides which."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sagakit.jetstream.answers import take_ack
from sagakit.jetstream.batches import Batches
from sagakit.jetstream.link import Link
from sagakit.jetstream.wire import header_block
from sagakit.store.event_chains import EventChain, put_together
from sagakit.store.gathering import BatchDone
from sagakit.store.names import Names
from sagakit.store.ports import AppendQueue, Done, EventMessage

_MESSAGE_ID = header_block({"Nats-Msg-Id": "%b"})


class Events:
    """The port `EventLog`, over streams."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    def submit(self, message: EventMessage, done: Done, queue: AppendQueue | None = None) -> None:
        """Queue an append."""
        take = partial(take_ack, message.key, None, done)
        self._link.pump.send(message.subject, message.payload, take, _MESSAGE_ID % message.id.encode(), linger=True)


class GatheringEvents(Events):
    """An event log whose appends may share atomic batches, shard by shard."""

    def __init__(self, link: Link, names: Names, batches: Batches) -> None:
        super().__init__(link, names)
        self._batches = batches
        self._gatherings = [batches.gathering(stream, self) for stream in names.events]

    def submit(self, message: EventMessage, done: Done, queue: AppendQueue | None = None) -> None:
        """Queue an append."""
        gathering = self._gatherings[self._names.shard_of(message.key)]
        if gathering is None:
            super().submit(message, done)
        else:
            chain = EventChain(message, done, queue)
            gathering.submit(message.id, chain, len(message.payload), chain.ended, alone=message.alone)

    def send_single(self, chain: EventChain, done: Done) -> None:
        """Send an event by itself."""
        super().submit(chain.single(), done)

    def send_batch(self, chains: Sequence[EventChain], done: BatchDone) -> None:
        """Send events to one shard as a batch."""
        events, ended = put_together(chains, done)
        self._batches.send([(one.subject, _MESSAGE_ID % one.id.encode(), one.payload) for one in events], ended)
