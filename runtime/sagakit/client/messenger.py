"""The messenger: puts a client's messages into the inbox, and waits for what becomes of them.

Each message has an id, so that sending it again is harmless: the server drops a copy for a while, and the saga applies
an id once. A message to a saga names the saga's run, so that it never reaches another life of the id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import structs

from sagakit.client.burials import Burials, Sent
from sagakit.client.changes import Changes
from sagakit.client.fleet_view import FleetView
from sagakit.client.lookup import Lookup
from sagakit.engine import EndMarker, Inbound, Record
from sagakit.engine.verdicts import is_full
from sagakit.errors import AlreadyStarted, InvalidInput, NoWorker
from sagakit.jetstream.answers import PubAck, to_error
from sagakit.jetstream.wire import header_block
from sagakit.messages.answered import answered
from sagakit.messages.channels import channel_of
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.limits import limits_for
from sagakit.store.names import Names, SagaKey
from sagakit.store.ports import Wire

StartedBy: TypeAlias = Callable[[Record | EndMarker], bool | None]
"""A function that returns True if a start may return a saga that is known, None if only a worker can tell."""
UNTOLD_FOR = 4.0
"""Seconds after which a start of a known id counts as done if nothing else is heard: the worker that takes it has
nothing to write."""

SILENT_FOR = 3.0
"""Seconds after which the log says why a start may wait in vain."""


_ack = msgspec.json.Decoder(PubAck)


class Messenger:
    """Sends messages to sagas. For the tasks of one client."""

    def __init__(
        self, wire: Wire, names: Names, lookup: Lookup, changes: Changes, burials: Burials, fleet: FleetView
    ) -> None:
        self._wire = wire
        self._names = names
        self._lookup = lookup
        self._changes = changes
        self._burials = burials
        self._fleet = fleet

    async def send(self, address: SagaKey, id: str, request: InboxRequest) -> Sent:
        """Put a request into the inbox; durable once this returns. Waits through outages.

        Raises StoreFull, TooLarge, NotPermitted, Refused.
        """
        subject = self._names.inbound_subject(channel_of(request), address)
        headers = header_block({"Nats-Msg-Id": f"{address}/{id}"})
        payload = msgspec.json.encode(request)

        async def send() -> Sent:
            sent = await self._burials.expect(address.saga_type, subject, id)
            answer = _ack.decode(await self._wire.request(subject, payload, headers=headers))
            if answer.error is not None:
                raise to_error(answer.error, key=str(address), expected=None, stream=self._names.inbox)
            if answer.duplicate:  # the first copy may have been buried before anybody listened
                await self._burials.look(address.saga_type, sent, anyway=True)
            return sent

        return await self._lookup.patiently(send)

    async def apply(self, key: str, message: Inbound) -> str:
        """Have a message applied, and return its verdict once that is durable.

        A message that names no run is for the life of the id that is stored now.

        Raises UnknownSaga, NoWorker; InvalidInput if no worker could read the message.
        """
        record, live = await self._lookup.find(key)
        message = structs.replace(message, run=message.run or record.run)
        verdict = self._verdict(record, message, live=live)
        if verdict is not None:
            return verdict
        await self._fleet.check_runs(record)  # first: in the inbox the message would wait as long as the saga
        async with self._changes.of(key) as change:
            seen = change.count
            sent = await self._send(SagaKey.parse(key), message)
            sent.tell = change.poke
            while True:
                if sent.reason:
                    raise InvalidInput(f"{key}: {sent.reason}")
                await change.until_another(seen)
                seen = change.count
                record, live = await self._lookup.find(key)
                verdict = self._verdict(record, message, live=live)
                if verdict is not None:
                    return verdict
                await self._check_runs(record)

    def _verdict(self, record: Record, message: Inbound, *, live: bool) -> str | None:
        verdict = answered(record, message, live=live)
        limits = limits_for(self._wire.max_payload, max_isolated_crashes=1)
        if verdict is None and is_full(record, message.kind, limits):
            return "full"  # the owner refuses it, and keeps no trace of that
        return verdict

    async def _send(self, address: SagaKey, message: Inbound) -> Sent:
        return await self.send(address, message.id, InboxRequest.of(message))

    async def _check_runs(self, record: Record) -> None:
        try:
            await self._fleet.check_runs(record)
        except NoWorker as error:
            error.args = (f"{error}; what was asked of it waits in the inbox, and is applied then",)
            raise

    async def until_started(self, address: SagaKey, sent: Sent, judge: StartedBy) -> None:
        """Return once the saga of a start that was sent is stored.

        Raises AlreadyStarted if it has another input; InvalidInput, with the worker's reason, if it was refused.
        """
        key = str(address)
        async with self._changes.of(key) as change:
            sent.tell = change.poke
            looked = self._wire.now()
            while True:
                seen, refused = change.count, sent.reason
                known = await self._lookup.known(key)
                if refused:  # before this look, so that it has found the saga for whose sake the start was refused
                    raise refusal_of(key, sent, known, judge)
                if known is not None and (may_return(key, known, judge) or self._wire.now() - looked > UNTOLD_FOR):
                    return
                await change.until_another(seen)
                if not sent.reason:
                    await self._burials.look(address.saga_type, sent)
                if self._wire.now() - looked > SILENT_FOR:
                    await self._fleet.tell_unserved(address.saga_type)


def may_return(key: str, known: Record | EndMarker, judge: StartedBy) -> bool:
    """Return True if a start may return a known saga, False if only a worker can tell. Raises AlreadyStarted."""
    found = judge(known)
    if found is False:
        # the digest of an end marker may be keyed, which cannot be seen; a sealed record is left to a worker
        codec = ", or by a program with another payload codec or key" if isinstance(known, EndMarker) else ""
        raise AlreadyStarted(
            f"{key} was started before, with a different input or by another message{codec}: use another id, or get() "
            "the one there is"
        )
    return found is True


def refusal_of(key: str, sent: Sent, known: Record | EndMarker | None, judge: StartedBy) -> Exception:
    """Return the error for a start that was refused."""
    if known is not None and judge(known) is not True:
        return AlreadyStarted(sent.reason)
    return InvalidInput(f"{key} was not started: {sent.reason}")
