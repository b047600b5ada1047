"""Serving: takes the commands of a participant's endpoints, has them worked on, and answers them.

A command is acknowledged once its reply is durable. Until then it comes again, here or in another process, and is
known by its key. Everything here awaits a `Wire` only, so it serves trio and asyncio programs alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from logging import WARNING, getLogger
from typing import Any

import msgspec

from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine.keys import CallKind, step_of
from sagakit.engine.value_places import progress_part
from sagakit.errors import UNREADABLE, Ambiguous, BadBucket, InvalidInput, StoreError, TooLarge, Unavailable
from sagakit.jetstream.answers import ApiError, PubAck, to_error
from sagakit.jetstream.dead_letter import MESSAGE_ID, cut_to_fit, dead_headers
from sagakit.jetstream.wire import acknowledges, header_block, header_fields, stored_at, unsent
from sagakit.messages.step_command import StepCommand, command_id, reply_id
from sagakit.messages.validation import checked_message_id
from sagakit.naming import SagaKey
from sagakit.participant.key_store import Keys
from sagakit.participant.registration import Registered, Registration
from sagakit.participant.replies import CommandReply
from sagakit.participant.server_time import ServerTime
from sagakit.participant.service import Service
from sagakit.participant.work import reply_that_fits, reply_to
from sagakit.participant.work_signs import TICK, WorkSigns
from sagakit.ration import Ration
from sagakit.store.names import Names
from sagakit.store.ports import Wire, WireEvent, WireMessage
from sagakit.tracing import CommandTracing, HandledCommand

_log = getLogger("sagakit.participant")

ACK_WAIT = 30.0
"""Seconds after which the server delivers a command again, unless its handler has shown that it lives, as it does."""
EXPIRES = 5.0
"""Seconds that the server keeps a request for commands."""
SILENCE = 7.0
"""Seconds without a word after which all requests for commands count as lost."""
AGAIN = 1.0
"""Seconds until a command comes again whose reply could not be stored, and until a failed call is repeated."""
_decoder = msgspec.json.Decoder(StepCommand)
_ack = msgspec.json.Decoder(PubAck)


class _Slot:
    """A place for one command: empty, until one has come."""

    def __init__(self, filled: WireEvent) -> None:
        self.filled = filled
        self.message: WireMessage | None = None


class _ApiAnswer(msgspec.Struct):
    error: ApiError | None = None


_answer = msgspec.json.Decoder(_ApiAnswer)


def endpoints_of(participant: Service) -> Mapping[str, Registered]:
    """Return the endpoints of a participant by their names on the wire."""
    found: dict[str, Registered] = {}
    for endpoint in participant.endpoints:
        names: Mapping[CallKind, str] = {"do": endpoint.name, "undo": endpoint.undo_name, "check": endpoint.check_name}
        found.update((name, Registered(name, endpoint, kind)) for kind, name in names.items() if name)
    return found


class Serving:
    """Serves one participant over one connection. For tasks of the program that opened the connection.

    At most `max_concurrent` commands of an endpoint are worked on at a time. With `tracing` each has a span. With
    `micro` NATS micro shows it.
    """

    def __init__(
        self,
        wire: Wire,
        names: Names,
        participant: Service,
        keys: Keys,
        *,
        max_concurrent: int,
        tracing: CommandTracing | None = None,
        micro: bool = False,
        payloads: Payloads = PLAIN_PAYLOADS,
    ) -> None:
        self._wire = wire
        self._names = names
        self._tracing = tracing
        self._payloads = payloads
        self._participant = participant
        self._keys = keys
        self._time = ServerTime(wire, names)
        endpoints = endpoints_of(participant)
        self._intakes = [
            _EndpointIntake(wire, names, f"{participant.service}.{name}", partial(self._handle, served), max_concurrent)
            for name, served in endpoints.items()
        ]
        self._registration = Registration(wire, names, participant, endpoints, self._time)
        self._micro = micro
        self._at_work: set[WorkSigns] = set()
        self._stopped = wire.event()

    async def run(self) -> None:
        """Serve until `stop`, and then until all commands that are in hand are answered."""
        shown = [partial(self._registration.run, self._stopped)] if self._micro else []
        await self._wire.together(*(intake.run for intake in self._intakes), self._show_signs, *shown)

    def stop(self) -> None:
        """Take no more commands. Commands that have come and are not begun go to other processes at once."""
        self._stopped.set()
        for intake in self._intakes:
            intake.stop()

    async def _show_signs(self) -> None:
        """Tell of the commands in hand, until the last one is answered."""
        while not self._stopped.is_set() or any(intake.is_at_work for intake in self._intakes):
            if self._stopped.is_set():
                await self._wire.sleep(TICK / 4)
            else:
                await self._wire.within(TICK, self._stopped)
            now = self._wire.now()
            for signs in self._at_work:
                message = signs.due(now)
                if message is not None:
                    # nobody waits for an answer: one that is lost is made up for by the next
                    self._wire.tell(signs.reply_to, message)

    async def _handle(self, served: Registered, message: WireMessage) -> bool:
        """Work on a command and answer it. Return False if it has to come again."""
        try:
            command = _decoder.decode(message.payload)
            key = self._saga_of(command)
            if command.kind != served.kind:
                raise ValueError(f"it is a {command.kind}, and this endpoint is for {served.kind}")
            checked_message_id(command_id(command.key, command.attempt))
        except (*UNREADABLE, ValueError, InvalidInput) as error:
            served.stats.count(0.0, error=str(error))
            return await self._bury(message, str(error))
        try:
            now = 0.0 if self._keys.horizon is None else await self._time.now()
        except StoreError as error:
            _log.warning("%s: not begun, and tried again: %s", message.subject, error)
            return False
        began = self._wire.now()
        seal = partial(self._payloads.kept, saga=key, part=progress_part(step_of(command.key)))
        with self._span(message, command) as span, self._showing(WorkSigns(command, began, seal)) as signs:
            reply = await reply_to(served.endpoint, key, command, self._keys, now, self._payloads, signs)
            served.stats.count(self._wire.now() - began, error=reply.reason if reply.answer == "unknown" else "")
            if span is not None:
                span.answered(reply.answer, reply.reason or reply.code or "")
        return await self._answer(key, command, reply)

    async def _answer(self, saga: SagaKey, command: StepCommand, reply: CommandReply) -> bool:
        """Store a reply, or why it cannot be stored. Return False if that has to be tried again."""

        def stored(reply: CommandReply) -> Awaitable[None]:
            headers = {MESSAGE_ID: reply_id(saga, command, reply.answer)}
            return self._publish(command.reply_to, msgspec.json.encode(reply), headers)

        try:
            try:
                await stored(reply)
            except TooLarge as error:  # so it is each time: the command would come again for ever
                fitting = reply_that_fits(command, reply, str(error))
                _log.error("%s: its reply is too large, so it is answered %s: %s", command.key, fitting.answer, error)
                await stored(fitting)
        except StoreError as error:
            return _later(command.reply_to, error)
        return True

    @contextmanager
    def _showing(self, signs: WorkSigns) -> Iterator[WorkSigns]:
        self._at_work.add(signs)
        try:
            yield signs
        finally:
            self._at_work.discard(signs)

    def _span(self, message: WireMessage, command: StepCommand) -> AbstractContextManager[HandledCommand | None]:
        """Return the span of a command, which ends with the block; nothing if this participant does not trace."""
        if self._tracing is None:
            return nullcontext()
        endpoint = message.subject.rpartition(".")[2]
        attributes: dict[str, str | int] = {
            "sagakit.run": command.run,
            "sagakit.kind": command.kind,
            "sagakit.key": command.key,
            "sagakit.call": command.attempt,
        }
        return self._tracing.handling(f"{self._participant.service}.{endpoint}", command.trace, attributes)

    def _saga_of(self, command: StepCommand) -> SagaKey:
        """Return the saga that a command comes from. Raises ValueError for a `reply_to` that is not for replies."""
        channel, key = self._names.address_of(command.reply_to)
        if channel != "reply" or command.reply_to != self._names.inbound_subject(
            "reply", key, service=self._participant.service
        ):
            raise ValueError(f"its reply_to {command.reply_to[:100]!r} is no subject for replies of this service")
        return key

    async def _bury(self, message: WireMessage, reason: str) -> bool:
        """Keep a command that can never be worked on as a dead letter."""
        _log.error("%s: a command is a dead letter: %s", message.subject, reason)
        stream, (position, _) = self._names.commands, stored_at(message.reply)
        id = dict(header_fields(message.headers)).get(MESSAGE_ID, f"{stream}-{position}")
        service = self._participant.service
        headers = dead_headers(
            stream, position, message.subject, id, message.headers, reason, code="InvalidInput", by=service
        )
        subject = self._names.dead_subject("command", service)
        try:
            await self._publish(subject, *cut_to_fit(self._wire.max_payload, message.payload, headers))
        except StoreError as error:
            return _later(subject, error)
        return True

    async def _publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        """Store a message. Raises StoreError."""
        ack = _ack.decode(await self._wire.request(subject, payload, headers=header_block(headers)))
        if ack.error is not None:
            raise to_error(ack.error, key=subject, expected=None)


def _later(subject: str, error: StoreError) -> bool:
    """Log that a message is not stored. Return False, since its command has to come again."""
    _log.warning("%s: not stored, and tried again: %s", subject, error)
    return False


class _EndpointIntake:
    """Takes the commands of one endpoint from its durable consumer, which all processes of the service share."""

    def __init__(
        self, wire: Wire, names: Names, endpoint: str, handle: Callable[[WireMessage], Any], max_concurrent: int
    ) -> None:
        self._wire = wire
        self._stream = names.commands
        self._subject = names.command_subject(endpoint)
        self._name = endpoint.replace(".", "_")
        self._is_ours = acknowledges(self._stream, self._name)
        self._ration = Ration(_log)
        self._handle = handle
        self._max_concurrent = max_concurrent
        self._inbox = ""
        self._idle: deque[_Slot] = deque()
        self._come: deque[WireMessage] = deque()
        """Commands for which there was no slot: a request that counted as lost was answered all the same."""
        self._in_hand: set[str] = set()
        """The subjects to answer on for the commands that are worked on, or about to be."""
        self._owed = 0
        self._heard = 0
        self._stopped = wire.event()

    @property
    def is_at_work(self) -> bool:
        """True while a command is in hand that is not answered."""
        return bool(self._in_hand)

    async def run(self) -> None:
        self._inbox = self._wire.new_inbox()
        await self._make()
        subscription = await self._wire.hear(self._inbox, self._take)
        try:
            await self._wire.together(self._mind, *[self._work] * self._max_concurrent)
        finally:
            for message in self._come:
                self._wire.tell(message.reply, b"-NAK")
            await subscription.end()

    def stop(self) -> None:
        self._stopped.set()
        while self._idle:
            self._idle.popleft().filled.set()

    async def _make(self) -> None:
        """Make the consumer, or check that the existing one is the same. Raises BadBucket, StoreError."""
        config = {
            "durable_name": self._name,
            "ack_policy": "explicit",
            "ack_wait": round(ACK_WAIT * 1e9),
            "max_deliver": -1,
            "max_ack_pending": -1,
            "filter_subject": self._subject,
        }
        request = msgspec.json.encode({"stream_name": self._stream, "config": config, "action": ""})
        call = f"$JS.API.CONSUMER.CREATE.{self._stream}.{self._name}.{self._subject}"
        while True:
            try:
                answer = _answer.decode(await self._wire.request(call, request))
                break
            except (Unavailable, Ambiguous):
                await self._wire.until_connected()
                await self._wire.sleep(AGAIN)
        if answer.error is not None:
            error = to_error(answer.error, key=self._subject, expected=None, stream=self._stream)
            raise BadBucket(f"the consumer {self._name} of {self._stream} cannot be used: {error}") from error

    async def _work(self) -> None:
        while not self._stopped.is_set():
            message = self._come.popleft() if self._come else await self._next()
            if message is None:
                return
            self._in_hand.add(message.reply)
            try:
                answered = await self._handle(message)
            finally:
                self._in_hand.discard(message.reply)
            self._wire.tell(message.reply, b"+ACK" if answered else b'-NAK {"delay":%d}' % round(AGAIN * 1e9))

    async def _next(self) -> WireMessage | None:
        slot = _Slot(self._wire.event())
        self._idle.append(slot)
        self._want()
        await slot.filled.wait()
        return slot.message

    def _want(self) -> None:
        """Ask for as many commands as there are empty slots."""
        wanted = len(self._idle) - self._owed
        if wanted > 0 and self._wire.connected and not self._stopped.is_set():
            self._owed += wanted
            request = msgspec.json.encode({"batch": wanted, "expires": round(EXPIRES * 1e9)})
            call = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
            self._wire.tell(call, request, reply=self._inbox)

    def _take(self, message: WireMessage) -> None:
        self._heard += 1
        if not message.reply:  # the server's word that a request has ended, with what it still owed
            left = unsent(message.headers)
            self._owed = 0 if left is None else max(0, self._owed - left)
            self._want()
            return
        if not self._is_ours(message.reply):
            self._ration.say(WARNING, "%s: ignored a message that it has not handed out", self._name)
            return
        self._owed = max(0, self._owed - 1)
        if self._stopped.is_set():
            self._wire.tell(message.reply, b"-NAK")
        elif self._idle:
            slot = self._idle.popleft()
            slot.message = message
            self._in_hand.add(message.reply)
            slot.filled.set()
        else:
            self._come.append(message)

    async def _mind(self) -> None:
        """Show that handlers live, and ask for commands again when the server has fallen silent."""
        silent_since, heard = self._wire.now(), self._heard
        while self.is_at_work or not self._stopped.is_set():
            if self._stopped.is_set():
                await self._wire.sleep(AGAIN / 4)
            else:
                await self._wire.within(AGAIN, self._stopped)
            for reply in self._in_hand:
                self._wire.tell(reply, b"+WPI")
            if heard != self._heard:
                silent_since, heard = self._wire.now(), self._heard
            elif self._idle and self._wire.now() - silent_since > SILENCE:
                self._owed, silent_since = 0, self._wire.now()
                self._want()
