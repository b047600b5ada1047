"""The streams of commands: a durable consumer for each command, made or checked, read and acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

from sagakit.errors import BadBucket, InvalidConfig, LayoutMissing, Refused, StoreError
from sagakit.jetstream.answers import ApiError
from sagakit.jetstream.dead_letter import dead_headers
from sagakit.jetstream.inbox import StreamAcknowledger
from sagakit.jetstream.layout import NOT_FOUND
from sagakit.jetstream.link import Link
from sagakit.jetstream.publishing import publish_dead
from sagakit.jetstream.pull import Consumer, Pull
from sagakit.jetstream.wire import header_fields, stored_at
from sagakit.store.names import CommandPlace, Names

OUT = 1_000
"""Commands of one kind that may be out with workers at once, before any of them is acknowledged."""
PAGE = 256
"""Commands asked for at once."""
ACK_WAIT = 30.0
"""Seconds after which a command that is not acknowledged comes again."""
_NO_CONSUMER, _EXISTS = 10014, 10148


class TakenCommand(msgspec.Struct, frozen=True):
    """A command that a consumer has handed out. `since` is when the server stored it, in seconds since the epoch."""

    stream: str
    position: int
    since: float
    subject: str
    headers: bytes
    payload: bytes
    acknowledger: StreamAcknowledger

    @property
    def fields(self) -> dict[str, str]:
        """The headers."""
        return dict(header_fields(self.headers)) if self.headers else {}


class _Streams(msgspec.Struct):
    streams: list[str] | None = None
    error: ApiError | None = None


class _BacklogAnswer(msgspec.Struct):
    config: dict[str, Any] = {}
    num_pending: int = 0
    num_ack_pending: int = 0
    error: ApiError | None = None


_streams = msgspec.json.Decoder(_Streams)
_info = msgspec.json.Decoder(_BacklogAnswer)


class CommandStreams:
    """Reads commands from their streams. For tasks of the trio thread."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names

    async def prepare(self, place: CommandPlace, name: str, *, begin: Mapping[str, object]) -> Consumer:
        """Return the consumer of this name for a place: made now, or one that exists and does not differ.

        Without a stream the one that stores the subject is taken. `begin` is the start position, in the words of a
        consumer's configuration.

        Raises InvalidConfig if there is not one stream for it, BadBucket if the consumer differs, LayoutMissing if the
        runtime's own stream is missing, StoreError.
        """
        stream = place.stream or await self._stream_of(place.subject)
        consumer = Consumer(
            stream=stream,
            name=self._names.intake_consumer(name),
            filters=[place.subject],
            ack_wait=ACK_WAIT,
            max_ack_pending=OUT,
            page=PAGE,
            begin=begin,
        )
        if not await self._is_there(consumer):
            request = msgspec.json.encode({"stream_name": stream, "config": consumer.config, "action": "create"})
            create = f"$JS.API.CONSUMER.CREATE.{stream}.{consumer.name}"
            made = _info.decode(await self._link.request(create, request))
            # another worker may have made it meanwhile, differently
            if made.error is not None and not (made.error.err_code == _EXISTS and await self._is_there(consumer)):
                raise self._cannot_make(consumer, made.error)
        return consumer

    async def waiting(self, consumer: Consumer) -> int:
        """Return how many commands are not acknowledged yet. Raises StoreError."""
        info = await self._look(consumer)
        if info.error is not None:
            raise self._link.refused(info.error, consumer.stream, key=consumer.name)
        return info.num_pending + info.num_ack_pending

    @asynccontextmanager
    async def receive(self, consumer: Consumer) -> AsyncIterator[AsyncIterator[TakenCommand]]:
        """Open the commands of one consumer. What has come and was not taken is given back at the end."""
        pull = Pull(self._link, consumer)
        try:
            async with aclosing(self._commands(pull, consumer.stream)) as commands:
                yield commands
        finally:
            for delivery in pull.left():
                StreamAcknowledger(self._link, delivery.reply).defer(0)

    async def bury(self, command: TakenCommand, saga_type: str, id: str, reason: str, *, code: str, by: str) -> None:
        """Keep a command that can never be applied as a dead letter, then acknowledge it. Raises StoreError."""
        headers = dead_headers(command.stream, command.position, command.subject, id, command.headers, reason, code, by)
        subject = self._names.dead_subject("intake", saga_type)
        await publish_dead(self._link, subject, command.payload, headers)
        command.acknowledger.ack()

    async def _commands(self, pull: Pull, stream: str) -> AsyncGenerator[TakenCommand]:
        async with aclosing(pull.deliveries()) as deliveries:
            async for delivery in deliveries:
                position, since = stored_at(delivery.reply)
                acknowledger = StreamAcknowledger(self._link, delivery.reply)
                yield TakenCommand(
                    stream, position, since, delivery.subject, delivery.headers, delivery.payload, acknowledger
                )

    async def _look(self, consumer: Consumer) -> _BacklogAnswer:
        return _info.decode(await self._link.request(f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}", b""))

    async def _is_there(self, consumer: Consumer) -> bool:
        """Return True if the consumer exists. Raises BadBucket if it differs, LayoutMissing, StoreError."""
        info = await self._look(consumer)
        if info.error is None:
            _check_same(consumer, info.config)
        elif info.error.err_code == NOT_FOUND and consumer.stream == self._names.intake:
            raise LayoutMissing([consumer.stream])
        elif info.error.err_code != _NO_CONSUMER:
            raise self._link.refused(info.error, consumer.stream, key=consumer.name)
        return info.error is None

    def _cannot_make(self, consumer: Consumer, error: ApiError) -> StoreError | BadBucket:
        """Return the error of a consumer that the server has not made. On a work queue, for one, it must take all."""
        found = self._link.refused(error, consumer.stream, key=consumer.name)
        if not isinstance(found, Refused):
            return found
        return BadBucket(
            f"the stream {consumer.stream} takes no consumer {consumer.name} for {consumer.filters[0]}: "
            f"{error.description}"
        )

    async def _stream_of(self, subject: str) -> str:
        request = msgspec.json.encode({"subject": subject})
        answer = _streams.decode(await self._link.request("$JS.API.STREAM.NAMES", request))
        if answer.error is not None:
            raise self._link.refused(answer.error, subject)
        found = answer.streams or []
        if len(found) != 1:
            told = f"{len(found)} streams store it: {', '.join(found)}" if found else "no stream stores it"
            raise InvalidConfig(f"Command({subject!r}): {told}; make one, or name it with stream=")
        return found[0]


def _check_same(consumer: Consumer, config: dict[str, Any]) -> None:
    """Raise BadBucket if a consumer that exists would lose, skip or repeat commands, or takes others."""
    wanted: dict[str, object] = {
        "ack_policy": "explicit",
        "max_deliver": -1,
        "filter_subjects": list(consumer.filters),
        "deliver_subject": "",
        "headers_only": False,
        **consumer.begin,
    }
    has = {
        "max_deliver": -1,
        "deliver_subject": "",
        "headers_only": False,
        **config,
        "filter_subjects": config.get("filter_subjects") or [config.get("filter_subject", "")],
    }
    for name, value in wanted.items():
        if not _is_equal(has.get(name), value):
            raise BadBucket(
                f"the consumer {consumer.name} of the stream {consumer.stream} exists and has {name} {has.get(name)!r} "
                f"in place of {value!r}: say what it has, or delete it with `nats consumer rm`; it then begins anew"
            )


def _is_equal(found: object, wanted: object) -> bool:
    if found == wanted:
        return True
    try:  # times may be written in several ways
        return datetime.fromisoformat(str(found)) == datetime.fromisoformat(str(wanted))
    except ValueError:
        return False
