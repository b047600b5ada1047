"""The inbox: a work-queue stream of inbound messages, and what a worker does with those that it was handed.

Each saga type has three durable consumers, which the workers that know it share: of the messages as they are sent, of
those that wait for an owner, and of the starts that wait for room.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count

import msgspec

from sagakit.errors import StoreError
from sagakit.jetstream.answers import decode_ack
from sagakit.jetstream.clock import ServerClock
from sagakit.jetstream.dead_letter import KEPT_ID, KEPT_SUBJECT, MESSAGE_ID, dead_headers, dead_letter
from sagakit.jetstream.domains import check_only_ours_captures
from sagakit.jetstream.link import Link
from sagakit.jetstream.parser import Delivery
from sagakit.jetstream.publishing import publish
from sagakit.jetstream.pull import Consumer, Pull
from sagakit.jetstream.stored import Stored, StreamReader
from sagakit.jetstream.wire import Message, header_block, header_field, header_fields, stored_at
from sagakit.store.names import Channel, Names, SagaKey
from sagakit.store.ports import ACK_WAIT, UNKNOWN_TYPE_FOR, Burial, InboundMessage, Parking, Source
from sagakit.store.starting import is_heartbeat, is_start

OUT = 20_000
"""Messages of one type that may be out with workers at once, before any of them is acknowledged. Those that a worker
has given back for later count."""
PAGE_NEW, PAGE_PARKED = 1_024, 64
"""Messages asked for at once. A page of new ones is large: while the worker is busy, each page takes as long as a few
turns of everything else that it does, and a message behind a flood waits until all pages before it have come."""
LOOKED_AT = 8
"""Messages to one saga that are looked at for a start: more than a few before it mean that there is none."""

_PARKED = "park-"
"""The beginning of the message id of a parked copy. The position of its original follows."""
_KEPT_CHANNEL = "Sagakit-Channel"
_KEPT_SINCE = "Sagakit-Since"
_message_id, _kept_id = header_field(MESSAGE_ID), header_field(KEPT_ID)


class StreamInbox:
    """The port `Inbox`, over a stream."""

    def __init__(self, link: Link, names: Names, clock: ServerClock) -> None:
        self._link = link
        self._names = names
        self._clock = clock
        self._stream = StreamReader(link, names.inbox)
        self._dead = StreamReader(link, names.dead)
        self._backlog: dict[tuple[str, Source], int] = {}

    async def send(self, channel: Channel, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append a message. On the wire the saga's key precedes its id: the server compares ids of the whole stream.

        A worker's own message has no id that the server compares: a client that knows the id of a coming `reverse`
        could publish another message under that id first, and the server would drop the reverse as a copy.
        """
        key = SagaKey(saga_type, saga_id)
        headers = {KEPT_ID: id} if channel == "system" else {MESSAGE_ID: f"{key}/{id}"}
        await publish(self._link, self._names.inbound_subject(channel, key), payload, headers)

    async def check_only_ours(self) -> None:
        """Refuse streams of other domains that capture our subjects."""
        await check_only_ours_captures(self._link, self._names)

    @asynccontextmanager
    async def receive(self, saga_type: str, source: Source) -> AsyncIterator[AsyncIterator[InboundMessage]]:
        """Open the messages of one type."""
        pull = Pull(self._link, self._consumer(saga_type, source))
        try:
            async with aclosing(self._messages(pull, saga_type)) as messages:
                yield messages
        finally:
            for delivery in pull.left():
                StreamAcknowledger(self._link, delivery.reply).defer(0)

    async def park(self, parkings: Sequence[Parking]) -> Sequence[StoreError | None]:
        """Copy messages to where they wait, then acknowledge them."""
        return await self._move([(message, self._parked(message, start)) for message, start in parkings])

    async def bury(self, burials: Sequence[Burial], *, by: str) -> Sequence[StoreError | None]:
        """Write the dead letters, then acknowledge the messages."""
        return await self._move([(burial.message, self._letter(burial, by)) for burial in burials])

    async def start_waits(self, key: SagaKey, *, anywhere: bool = False) -> bool:
        """Return True if a start is stored for the same saga; a start that waits for room has its own subject."""
        parked = self._names.parked_subject(key, start=True)
        if await self._stream.next(parked) is not None:
            return True
        for channel in ("client", "system"):
            position = 0
            for _ in count() if anywhere else range(LOOKED_AT):
                found = await self._stream.next(self._names.inbound_subject(channel, key), after=position)
                if found is None:
                    break
                if is_start(found.payload):
                    return True
                position = found.position
        return anywhere and await self._stream.next(parked) is not None  # it may have been parked meanwhile

    async def reply_waits(self, key: SagaKey, service: str, *, or_heartbeat: bool = False) -> bool:
        """Return True if a reply is stored under its own subject, or has been parked."""
        names = self._names
        for subject in (names.inbound_subject("reply", key, service=service), names.parked_subject(key, start=False)):
            position = 0
            while (found := await self._stream.next(subject, after=position)) is not None:
                if or_heartbeat or not is_heartbeat(found.payload):
                    return True
                position = found.position  # heartbeats are never parked; those that wait for their turn are few
        return False

    async def any_start(self, saga_type: str) -> bool:
        """Return True if any start of the type is stored. Reads all of them: for a worker with a changed definition."""
        names = self._names
        if await self._stream.next(names.parked_filter(saga_type, start=True)) is not None:
            return True
        for filter in names.inbound_filters(saga_type):
            position = 0
            while (found := await self._stream.next(filter, after=position)) is not None:
                if is_start(found.payload):
                    return True
                position = found.position
        return False

    async def strays(self) -> AsyncGenerator[InboundMessage]:
        """Yield messages that no consumer covers. As a rule two numbers are equal, and there are none."""
        consumers = await self._stream.consumers()
        self._backlog = {_type_and_source(name): waiting for name, waiting in consumers.items()}
        if await self._stream.count() <= sum(consumers.values()):
            return
        async with aclosing(self._stream.subjects()) as subjects:
            async for subject, _ in subjects:
                if not self._is_covered(subject, consumers):
                    async with aclosing(self._strays_of(subject)) as strays:
                        async for stray in strays:
                            yield stray

    def backlog(self) -> dict[tuple[str, Source], int]:
        """Return the backlog of the consumers at the last look."""
        return self._backlog

    async def dead_commands(self) -> dict[str, int]:
        """Return how many dead letters of participants are kept, by service."""
        async with aclosing(self._dead.subjects(self._names.subject("sagadead.command.*"))) as found:
            return {subject.rpartition(".")[2]: number async for subject, number in found}

    def age(self, message: InboundMessage) -> float:
        """Return the seconds for which the server has had a message."""
        return self._clock.now() - message.since

    # ------------------------------------------------------------- private

    async def _move(self, moved: Sequence[tuple[InboundMessage, Message]]) -> list[StoreError | None]:
        """Write the copies of messages, and acknowledge each whose copy is durable. Return the error of each."""
        answers = await self._link.request_all([copy for _, copy in moved])
        errors: list[StoreError | None] = []
        for (message, copy), answer in zip(moved, answers, strict=True):
            result = decode_ack(answer, copy.subject, None) if isinstance(answer, bytes) else answer
            errors.append(result if isinstance(result, StoreError) else None)
            if errors[-1] is None:
                message.acknowledger.ack()
        return errors

    def _parked(self, message: InboundMessage, start: bool) -> Message:
        headers = {
            MESSAGE_ID: f"{_PARKED}{message.position}",
            KEPT_ID: message.id,
            _KEPT_CHANNEL: message.channel,
            _KEPT_SINCE: repr(message.since),
            KEPT_SUBJECT: message.subject,
        }
        subject = self._names.parked_subject(message.address, start=start)
        return Message(subject, header_block(headers), message.payload)

    def _letter(self, burial: Burial, by: str) -> Message:
        message, reason, code = burial
        headers = dead_headers(
            self._names.inbox, _first_position(message), message.subject, message.id, message.headers, reason, code, by
        )
        subject = self._names.dead_subject("inbox", message.saga_type)
        return dead_letter(self._link.max_payload, subject, message.payload, headers)

    def _consumer(self, saga_type: str, source: Source) -> Consumer:
        names = self._names
        waits, starts = source != "new", source == "parked starts"
        return Consumer(
            stream=names.inbox,
            name=_consumer_name(saga_type, source),
            filters=[names.parked_filter(saga_type, start=starts)] if waits else names.inbound_filters(saga_type),
            ack_wait=ACK_WAIT,
            max_ack_pending=-1 if waits else OUT,
            page=PAGE_PARKED if waits else PAGE_NEW,
        )

    async def _messages(self, pull: Pull, saga_type: str) -> AsyncGenerator[InboundMessage]:
        async with aclosing(pull.deliveries()) as deliveries:
            async for delivery in deliveries:
                yield self._message(delivery, saga_type)

    def _message(self, delivery: Delivery, saga_type: str) -> InboundMessage:
        position, since = stored_at(delivery.reply)
        acknowledger = StreamAcknowledger(self._link, delivery.reply)
        return self._read(
            delivery.subject, delivery.headers, delivery.payload, position, since, acknowledger, saga_type
        )

    def _read(
        self,
        subject: str,
        headers: bytes,
        payload: bytes,
        position: int,
        since: float,
        acknowledger: StreamAcknowledger | _Remover,
        saga_type: str = "",
    ) -> InboundMessage:
        message_id = _message_id(headers)
        if message_id is None:
            message_id = f"seq-{position}"
        channel: Channel | None = "client"
        saga_id = fault = ""
        parked = False
        try:
            channel, key = self._names.address_of(subject)
            saga_type, saga_id = key.saga_type, key.saga_id
            message_id = message_id.removeprefix(f"{key}/")
            if channel == "system":  # only workers publish there
                kept_id = _kept_id(headers)
                message_id = message_id if kept_id is None else kept_id
            parked = channel is None
        except ValueError as error:
            fault = str(error)
        if parked:
            fields = dict(header_fields(headers))
            channel, message_id, since, subject, fault = _kept(fields, position, since, subject)
        return InboundMessage(
            message_id, channel or "client", saga_type, saga_id, position, payload, since, subject, acknowledger,
            parked=parked, headers=headers, fault=fault,
        )  # fmt: skip

    def _is_covered(self, subject: str, consumers: Mapping[str, int]) -> bool:
        try:
            return self._names.address_of(subject).key.saga_type in consumers
        except ValueError:
            return False

    async def _strays_of(self, subject: str) -> AsyncGenerator[InboundMessage]:
        found = await self._stream.next(subject)
        while found is not None:
            message = self._from_store(found)
            yield message
            if not message.fault and self.age(message) < UNKNOWN_TYPE_FOR:
                return  # the messages behind this one have waited for less
            found = await self._stream.next(subject, after=found.position)

    def _from_store(self, found: Stored) -> InboundMessage:
        remover = _Remover(self._link, self._names.inbox, found.position)
        return self._read(found.subject, found.headers, found.payload, found.position, found.stored_at, remover)


class StreamAcknowledger:
    """The port `Acknowledger`, for a message that a consumer has handed out."""

    __slots__ = ("_link", "_subject")

    def __init__(self, link: Link, subject: str) -> None:
        self._link = link
        self._subject = subject

    def ack(self) -> None:
        """Acknowledge: the message is done with."""
        self._link.tell(self._subject, b"+ACK", linger=True)

    def extend(self) -> None:
        """Tell the server that the message is being worked on."""
        self._link.tell(self._subject, b"+WPI", linger=True)

    def defer(self, seconds: float) -> None:
        """Have the message come again after so many seconds."""
        self._link.tell(self._subject, b'-NAK {"delay":%d}' % round(seconds * 1e9) if seconds else b"-NAK", linger=True)


class _Remover:
    """The port `Acknowledger`, for a message that no consumer covers. The message stays until it is acknowledged."""

    def __init__(self, link: Link, stream: str, position: int) -> None:
        self._link = link
        self._subject = f"$JS.API.STREAM.MSG.DELETE.{stream}"
        self._request = msgspec.json.encode({"seq": position, "no_erase": True})

    def ack(self) -> None:
        """Remove the message."""
        self._link.tell(self._subject, self._request)

    def extend(self) -> None:
        """Do nothing: nobody else takes the message."""

    def defer(self, seconds: float) -> None:
        """Do nothing: the message is looked at again in any case."""


def _consumer_name(saga_type: str, source: Source) -> str:
    """Return a durable name. A type begins with a letter, so no other type has a consumer of that name."""
    return saga_type if source == "new" else f"_{source.replace(' ', '_')}_{saga_type}"


def _type_and_source(consumer: str) -> tuple[str, Source]:
    """Return the type and the queue of a consumer with this durable name."""
    sources: tuple[Source, ...] = ("parked starts", "parked")  # the longer name first: one begins with the other
    for source in sources:
        saga_type = consumer.removeprefix(_consumer_name("", source))
        if saga_type != consumer:
            return saga_type, source
    return consumer, "new"


def _first_position(message: InboundMessage) -> int:
    """Return the position of a message, or of the original of a parked copy.

    On a busy worker a message may come again before it knows that its copy is stored. If both are buried, they make one
    dead letter.
    """
    first = (_message_id(message.headers) or "") if message.parked else ""
    number = first.removeprefix(_PARKED)
    return int(number) if number.isdecimal() else message.position


def _kept(
    fields: Mapping[str, str], position: int, since: float, subject: str
) -> tuple[Channel | None, str, float, str, str]:
    """Return channel, id, time and subject of a message before it was parked, and what is wrong with that."""
    channel, id = fields.get(_KEPT_CHANNEL, ""), fields.get(KEPT_ID, f"seq-{position}")
    kept = fields.get(KEPT_SUBJECT, subject)
    for known in _CHANNELS:
        if known == channel:
            try:
                return known, id, min(since, float(fields.get(_KEPT_SINCE, since))), kept, ""
            except ValueError:
                break
    return None, id, since, kept, "it was parked without the headers that a worker gives it"


_CHANNELS: tuple[Channel, ...] = ("client", "operator", "system", "reply")
