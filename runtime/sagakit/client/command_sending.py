"""Commands that a program sends to the runtime's own stream, from which workers take them."""

from __future__ import annotations

from typing import Any

import msgspec

from sagakit.client.lookup import Lookup
from sagakit.errors import InvalidInput, LayoutMissing
from sagakit.jetstream.answers import NO_STREAM, PubAck, to_error
from sagakit.jetstream.puller import refusal
from sagakit.jetstream.wire import header_block
from sagakit.messages.validation import checked_message_id
from sagakit.store.names import Names
from sagakit.store.ports import Wire

_ack = msgspec.json.Decoder(PubAck)


class CommandSender:
    """The sender of commands of a namespace: `Client.commands`. Workers with `Command(stream=None)` take them.

    await client.commands.send("orders.place", {"order_id": "o7"}, id="o7")
    """

    def __init__(self, wire: Wire, names: Names, lookup: Lookup) -> None:
        self._wire = wire
        self._names = names
        self._lookup = lookup
        self._is_there = False

    async def send(self, subject: str, data: Any, *, id: str) -> None:
        """Send a command; durable once this returns. A worker need not run. Waits through outages.

        `data` becomes JSON; it may be a CloudEvent. A command with the same `id` on the same subject is applied once.
        If this is cancelled, the command may or may not have been sent. No payload codec seals the data: it is plain in
        SAGA_INTAKE until a worker takes it, and in its dead letter if there is one.

        Raises InvalidInput (the subject has wildcards or blanks, the data cannot be JSON, or the id is blank or too
        long), LayoutMissing, NotPermitted, TooLarge, StoreFull.
        """
        if not _is_plain(subject):
            raise InvalidInput(f"subject={subject!r}: write a subject without wildcards, such as 'orders.place'")
        if not id.strip():
            raise InvalidInput(f"id={id!r}: a command needs an id, under which it is applied once")
        try:
            payload = msgspec.json.encode(data)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the data of the command cannot be written as JSON: {error}") from None
        whole = self._names.intake_subject(subject)
        # The server drops a message whose id another message in the stream has, on any subject. With the subject in
        # front, a sender may give the start, the signal and the cancel of one order the same id.
        headers = header_block({"Nats-Msg-Id": f"{whole}/{checked_message_id(id)}"})

        async def publish() -> None:
            await self._check_stream()
            ack = _ack.decode(await self._wire.request(whole, payload, headers=headers))
            if ack.error is not None:
                raise to_error(ack.error, key=whole, expected=None, stream=self._names.intake)

        await self._lookup.patiently(publish)

    async def _check_stream(self) -> None:
        """Raise LayoutMissing if an older version has made the layout, without this stream. Asks until it is there."""
        if self._is_there:
            return
        stream = self._names.intake
        found = _ack.decode(await self._wire.request(f"$JS.API.STREAM.INFO.{stream}", b""))
        if found.error is not None and found.error.err_code == NO_STREAM:
            raise LayoutMissing([stream])
        if found.error is not None:
            raise refusal(found.error, stream)
        self._is_there = True


def _is_plain(subject: str) -> bool:
    return all(token not in ("", "*", ">") and not any(map(str.isspace, token)) for token in subject.split("."))
