"""The applier: applies one inbound message, a start or a message to a saga, or says why that cannot be done."""

from __future__ import annotations

from logging import getLogger
from typing import NamedTuple

import msgspec

from sagakit.binding.registry import CanRead, Registry
from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import ENDS, EndMarker, Inbound, Parent, tells_news
from sagakit.engine.keys import awaits_child
from sagakit.engine.value_claims import read_claim
from sagakit.engine.value_places import input_place
from sagakit.errors import (
    UNREADABLE,
    CallerError,
    InvalidInput,
    NewerSchema,
    NotAllowed,
    NotRegistered,
    RuntimeClosed,
    SagakitError,
    StoreError,
    TooLarge,
    Undecodable,
    UnknownSaga,
    UnreadableValue,
)
from sagakit.messages.channels import check_channel
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.start_context import PLAIN, StartContext, StartTerms
from sagakit.messages.validation import check_id, checked_context, checked_message, checked_message_id, signal_of
from sagakit.naming import SagaKey
from sagakit.store.ports import InboundMessage
from sagakit.system.inbound.children import Children
from sagakit.system.inbound.requests import Requests
from sagakit.system.inbound.starts import Starts
from sagakit.times import epoch_seconds

_log = getLogger("sagakit.intake")
_decoder = msgspec.json.Decoder(InboxRequest)


class Unowned(SagakitError):
    """The saga has no owner just now: its worker has died, and no other worker has adopted it yet."""


class LeftToOthers(SagakitError):
    """The input of a start cannot be read here, but another worker, with a newer or an older schema, may read it."""


class Spoilt(NamedTuple):
    """A start whose input cannot be read here, and why."""

    message: InboundMessage
    request: InboxRequest
    why: str


def is_final(error: Exception) -> bool:
    """Return True if no other try, here or elsewhere, would apply the message."""
    if isinstance(error, UnknownSaga | RuntimeClosed | NotRegistered):
        return False
    return isinstance(error, CallerError | TooLarge)


def may_be_hopeless(error: Exception) -> bool:
    """Return True if a message need not be tried forever: its saga is not stored, or its record is unreadable.

    A record that a newer worker has written does not count: that worker can apply the message.
    """
    return isinstance(error, UnknownSaga | Undecodable) and not isinstance(error, NewerSchema)


def read_request(message: InboundMessage) -> InboxRequest:
    """Return the request in a message. Raises InvalidInput and InvalidId for a message that no worker can apply."""
    if message.fault:
        raise InvalidInput(message.fault)
    check_id(message.saga_id)
    checked_message_id(message.id)
    try:
        request = _decoder.decode(message.payload)
    except UNREADABLE as error:
        raise InvalidInput(f"it is not a message to a saga: {error}") from None
    check_channel(message.channel, request)
    return request


class Applier:
    """Applies messages from the inbox. For tasks of the worker's trio thread."""

    def __init__(
        self,
        registry: Registry,
        starts: Starts,
        requests: Requests,
        children: Children,
        can_read_elsewhere: CanRead,
    ) -> None:
        self._registry = registry
        self._starts = starts
        self._requests = requests
        self._children = children
        self._can_read_elsewhere = can_read_elsewhere

    async def apply(self, message: InboundMessage, request: InboxRequest, *, sparing: bool) -> None:
        """Apply a message; its effect is durable once this returns. `sparing`: see `Requests.anywhere`.

        Raises Unowned, LeftToOthers, UnknownSaga, NewerSchema and StoreError, after which another try may succeed, and
        errors for which `is_final` is True. If this is cancelled, the message may or may not have been applied; to
        apply it again is harmless.
        """
        if request.kind == "start":
            await self._start(message, request)
            return
        told = checked_message(request.as_inbound(message.id))
        verdict = await self._tell(str(message.address), told, sparing=sparing)
        if told.kind == "reply" and verdict in ("ended", "other run"):
            await self._check_known(str(message.address), told, verdict)

    def notes_heartbeat(self, message: InboundMessage, request: InboxRequest) -> bool:
        """Return True if a message is a heartbeat, and no more than this needed to be done with it."""
        if request.kind != "heartbeat":
            return False
        return self._requests.notes_heartbeat(str(message.address), request.as_inbound(message.id))

    def is_absent(self, message: InboundMessage) -> bool:
        """Return True if the saga of a message is not stored, by a look of a moment ago."""
        return self._requests.is_absent(str(message.address))

    def find_spoilt(self, message: InboundMessage, request: InboxRequest) -> Spoilt | None:
        """Return a start if its input cannot be read here. Few of them can be read by another worker.

        Return None for every start of a child: its parent has to be told.
        """
        if request.parent is None and read_claim(request.input) is None:  # an input that is stored apart is read later
            try:
                self._read_input(self._registry.latest(message.saga_type), message, request)
            except UnreadableValue as error:
                return Spoilt(message, request, str(error))
        return None

    async def judge(self, spoilt: Spoilt) -> SagakitError:
        """Return InvalidInput for a start that nobody can read, LeftToOthers or StoreError for one that has to wait."""
        try:
            return await self._unreadable(spoilt)
        except StoreError as error:
            return error

    async def _tell(self, key: str, message: Inbound, *, sparing: bool = False) -> str:
        verdict = await self._requests.anywhere(key, message, sparing=sparing)
        if verdict is None:
            raise Unowned(f"{key}: no live worker owns it just now; the next owner applies the message")
        return verdict

    async def _check_known(self, key: str, reply: Inbound, verdict: str) -> None:
        """Raise NotAllowed for a reply that comes too late and tells of a success which the saga does not know."""
        if tells_news(await self._requests.record(key), reply):
            raise NotAllowed(
                f"{key}: {reply.key} was done, and the saga does not know that ({verdict}): see at the participant "
                "whether it was undone"
            )

    async def refused(self, message: InboundMessage, request: InboxRequest, error: SagakitError) -> SagakitError:
        """Tell the parent of a child, if the message is its start, that the message can never be applied.

        Return the error with its explanation. Raises StoreError if the parent cannot be told.
        """
        if request.kind == "start" and request.parent is not None:
            await self._children.refused(message.address, request.parent, error)
        return await self._requests.unknown(str(message.address)) if isinstance(error, UnknownSaga) else error

    async def _start(self, message: InboundMessage, request: InboxRequest) -> None:
        if request.parent is not None and not await self._is_awaited(message.address, request.parent):
            _log.info("%s: not started: its parent does not wait for it any more", message.address)
            return
        async with self._starts.large_values.room_for_input(request.input):
            await self._begin(message, request)

    async def _begin(self, message: InboundMessage, request: InboxRequest) -> None:
        binding = self._registry.latest(message.saga_type)
        given = await self._starts.large_values.input_of(str(message.address), request.input)
        request = msgspec.structs.replace(request, input=given)
        value = binding.definition.encode_input(await self._as_input(binding, message, request))
        context = StartContext(
            correlation_id=request.correlation_id,
            causation_id=request.causation_id,
            trace=request.trace,
            attributes=request.attributes,
            parent=request.parent,
        )
        terms = PLAIN if request.parent is not None else self._terms(message, request)
        begun = await self._starts.start(binding, message.saga_id, value, checked_context(context), terms)
        if terms.signal is not None and begun.known is not None and not isinstance(begun.known, EndMarker):
            await self._tell(str(message.address), terms.signal)

    def _terms(self, message: InboundMessage, request: InboxRequest) -> StartTerms:
        """Return the terms of a start. Raises InvalidInput."""
        if request.at is not None and request.after is not None:
            raise InvalidInput("a start names `at` or `after`, not both")
        starts_at = None if request.at is None else epoch_seconds(request.at)
        if request.after is not None:
            starts_at = self._starts.time_after(request.after, message)
        signal = signal_of(message.id, request.signal, request.payload) if request.signal else None
        return StartTerms(message_id=message.id, id_conflict=request.id_conflict, starts_at=starts_at, signal=signal)

    async def _as_input(self, binding: SagaBinding, message: InboundMessage, request: InboxRequest) -> object:
        """Return the input as the definition's type, so that the same input always has the same bytes and digest.

        Raises InvalidInput, LeftToOthers.
        """
        try:
            return self._read_input(binding, message, request)
        except UnreadableValue as error:
            raise await self._unreadable(Spoilt(message, request, str(error))) from None

    def _read_input(self, binding: SagaBinding, message: InboundMessage, request: InboxRequest) -> object:
        place = input_place(message.address, request.parent)
        return binding.payloads.read(binding.definition.input, request.input, *place)

    async def _unreadable(self, spoilt: Spoilt) -> InvalidInput | LeftToOthers:
        message, request, why = spoilt
        plain = self._registry.payloads.plain(request.input, *input_place(message.address, request.parent))
        if plain is not None and await self._can_read_elsewhere(message.saga_type, plain):
            return LeftToOthers(why)
        return InvalidInput(f"the input is not what the saga takes: {why}")

    async def _is_awaited(self, child: SagaKey, parent: Parent) -> bool:
        """Return True if a parent still waits for a child."""
        # the start may have been in the inbox for longer than the end marker lasts by which an undo forestalls the
        # child: without this question the child would start although its parent has undone it (P4)
        try:
            record = await self._requests.record(parent.key)
        except UnknownSaga:
            return False
        except Undecodable:  # written by a newer worker, most likely: the child itself asks that one
            return True
        return record.run == parent.run and record.status not in ENDS and awaits_child(record, child.saga_id)
