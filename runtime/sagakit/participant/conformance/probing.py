"""The prober: it sends commands over NATS, and hears replies, dead letters and acknowledgments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from sagakit.errors import UNREADABLE, LayoutMissing, NoResponders
from sagakit.jetstream.answers import ApiError, PubAck, to_error
from sagakit.jetstream.wire import header_block, header_fields
from sagakit.messages.step_command import StepCommand, command_id
from sagakit.participant.conformance.exchange import Exchange, HeardReply
from sagakit.participant.server_time import ServerTime
from sagakit.participant.work_signs import CommandHeartbeat
from sagakit.store.names import Names
from sagakit.store.ports import Subscription, Wire, WireEvent, WireMessage
from sagakit.store.starting import is_heartbeat

MANY = 5
"""Deliveries of one command after which the suite counts it as delivered for ever."""


class _ConsumerAnswer(msgspec.Struct):
    error: ApiError | None = None
    config: Mapping[str, Any] | None = None


class _ReplyMessage(msgspec.Struct):
    data: bytes = b""


class _ReplyMessageAnswer(msgspec.Struct):
    message: _ReplyMessage = msgspec.field(default_factory=_ReplyMessage)


def _is_of(command: StepCommand, payload: bytes) -> bool:
    """Return True if a heartbeat names what the command says."""
    try:
        beat = _heartbeat.decode(payload)
    except UNREADABLE:
        return False
    return (beat.key, beat.run, beat.attempt) == (command.key, command.run, command.attempt)


_heartbeat = msgspec.json.Decoder(CommandHeartbeat)
_ack = msgspec.json.Decoder(PubAck)
_consumer = msgspec.json.Decoder(_ConsumerAnswer)
_stored = msgspec.json.Decoder(_ReplyMessageAnswer)


class Prober:
    """Sends commands to the endpoints of one service, and matches what comes with them.

    `saga_type` is the type of the sagas that the commands claim to come from; no worker may have it. Replies are
    matched by subject, dead letters by their bytes, acknowledgments by the command's number in its stream. They are
    heard as they are published: a participant publishes reply and acknowledgment over one connection, and their order
    is the order in which they are heard. `within` seconds are given to each command.
    """

    def __init__(self, wire: Wire, names: Names, service: str, saga_type: str, *, within: float) -> None:
        self._wire = wire
        self._names = names
        self._service = service
        self._within = within
        self._time = ServerTime(wire, names)
        self._replies = names.subject(f"sagareply.*.{saga_type}.>")
        self._by_subject: dict[str, Exchange] = {}
        self._by_payload: dict[bytes, Exchange] = {}
        self._by_number: dict[int, Exchange] = {}
        self._ends: dict[int, WireEvent] = {}
        self._early: list[WireMessage] = []
        """Acknowledgments that came before JetStream's answer said which number their command has."""
        self._hearing: list[Subscription] = []

    async def open(self) -> None:
        """Begin to hear. Raises Unavailable, NotPermitted."""
        heard: Mapping[str, Callable[[WireMessage], None]] = {
            self._replies: self._take_reply,
            self._names.dead_subject("command", self._service): self._take_letter,
            f"$JS.ACK.{self._names.commands}.>": self._take_ack,
        }
        for subject, take in heard.items():
            self._hearing.append(await self._wire.hear(subject, take))

    async def close(self) -> None:
        """End hearing. Remove the replies from the inbox, and the commands that nobody has acknowledged."""
        for one in self._hearing:
            await one.end()
        fits = msgspec.json.encode({"filter": self._replies})
        await self._wire.request(f"$JS.API.STREAM.PURGE.{self._names.inbox}", fits)
        for number, exchange in self._by_number.items():
            if not exchange.is_settled:
                which = msgspec.json.encode({"seq": number})
                await self._wire.request(f"$JS.API.STREAM.MSG.DELETE.{self._names.commands}", which)

    async def exchange(self, exchange: Exchange, endpoint: str) -> None:
        """Send a command, and return when it is acknowledged, or when the time is up.

        A command that is sent twice has no `Nats-Msg-Id` the second time, so that the stream takes it as the redelivery
        that it stands for. Raises LayoutMissing, StoreError.
        """
        end, command, is_copy = self._wire.event(), exchange.command, exchange.payload in self._by_payload
        self._by_subject[command.reply_to] = self._by_payload[exchange.payload] = exchange
        exchange.began = self._wire.now()
        headers = b"" if is_copy else header_block({"Nats-Msg-Id": command_id(command.key, command.attempt)})
        number = await self._send(self._names.command_subject(endpoint), exchange.payload, headers)
        self._by_number[number], self._ends[number] = exchange, end
        early, self._early = self._early, []
        for message in early:
            self._take_ack(message)
        await self._wire.within(self._within, end)
        exchange.stored = not exchange.replies or await self._is_stored(exchange)

    async def consumer(self, endpoint: str) -> Mapping[str, Any] | None:
        """Return the settings of an endpoint's consumer; None if there is none. Raises StoreError."""
        call = f"$JS.API.CONSUMER.INFO.{self._names.commands}.{endpoint.replace('.', '_')}"
        return _consumer.decode(await self._wire.request(call)).config

    async def now(self) -> float:
        """Return the server's time. Raises StoreError."""
        return await self._time.now()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await self._wire.sleep(seconds)

    async def together(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        """Run coroutine functions at the same time, and return when all have ended."""
        await self._wire.together(*calls)

    async def _send(self, subject: str, payload: bytes, headers: bytes) -> int:
        try:
            ack = _ack.decode(await self._wire.request(subject, payload, headers=headers))
        except NoResponders:
            raise LayoutMissing([self._names.commands]) from None
        if ack.error is not None:
            raise to_error(ack.error, key=subject, expected=None)
        return ack.seq

    async def _is_stored(self, exchange: Exchange) -> bool:
        wanted = msgspec.json.encode({"last_by_subj": exchange.command.reply_to})
        answer = _stored.decode(await self._wire.request(f"$JS.API.STREAM.MSG.GET.{self._names.inbox}", wanted))
        return any(answer.message.data == one.payload for one in exchange.replies)

    def _take_reply(self, message: WireMessage) -> None:
        exchange = self._by_subject.get(message.subject)
        if exchange is None:
            return
        if is_heartbeat(message.payload):
            exchange.beats += [self._wire.now()] if _is_of(exchange.command, message.payload) else []
        else:
            fields = dict(header_fields(message.headers))
            exchange.replies.append(HeardReply.of(message.payload, fields.get("Nats-Msg-Id", "")))
            exchange.answered_first = exchange.answered_first or not exchange.is_settled

    def _take_letter(self, message: WireMessage) -> None:
        exchange = self._by_payload.get(message.payload)
        if exchange is not None:
            exchange.letters += 1
            exchange.answered_first = exchange.answered_first or not exchange.is_settled

    def _take_ack(self, message: WireMessage) -> None:
        """Take an acknowledgment: `$JS.ACK.{stream}.{consumer}.{deliveries}.{number}.…`."""
        tokens = message.subject.split(".")
        deliveries, number = int(tokens[4]), int(tokens[5])
        exchange = self._by_number.get(number)
        if exchange is None:
            self._early.append(message)
            return
        exchange.deliveries = max(exchange.deliveries, deliveries)
        if message.payload.startswith(b"+WPI"):
            exchange.signs += 1
        elif message.payload.startswith((b"+ACK", b"+TERM", b"+NXT")) or not message.payload:
            exchange.is_settled, exchange.ended = True, self._wire.now()
            self._ends[number].set()
        elif deliveries >= MANY:
            self._ends[number].set()
