"""The starts of a client: one message each, and the sagas whose starts are on their way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from sagakit.client.access import SagaAccess
from sagakit.client.lookup import Lookup
from sagakit.client.messenger import Messenger, may_return
from sagakit.client.pending_saga import PendingSaga
from sagakit.client.saga_type import SagaType
from sagakit.client.start_options import StartOptions, context_of, terms_of
from sagakit.client.wire_bucket import put_value
from sagakit.engine import EndMarker, Inbound, Record
from sagakit.engine.codec import is_started_by
from sagakit.engine.record import NOTHING
from sagakit.engine.value_claims import LARGEST, claim_of
from sagakit.errors import InputTooLarge, UnknownSaga
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.limits import input_limit
from sagakit.messages.start_context import StartTerms
from sagakit.messages.validation import check_id
from sagakit.store.claimed_values import write_value
from sagakit.store.names import SagaKey
from sagakit.store.ports import Wire

REMEMBERED = 10_000
"""Starts that are remembered, for calls that come before a worker has started the saga."""
T = TypeVar("T")


WAITS = ("durable", "started", "step:NAME", "ended")
"""The moments at which `start` can return, as its option `wait` names them."""


class ClientStartOptions(StartOptions, total=False):
    """Options of `Client.start`, all of them by name: those of `Runtime.start`, and one more."""

    wait: str
    """The moment at which it returns: "durable", "started", "step:NAME" or "ended"."""


class SentStart(NamedTuple):
    """A start: its saga, the wait for it unless the saga was known, and the signal that comes with it."""

    address: SagaKey
    pending: PendingSaga | None
    signal: Inbound | None


class ClientStarts:
    """Sends starts, and lets a program go on as if the sagas were stored. `access` is the client."""

    def __init__(
        self, access: SagaAccess, wire: Wire, lookup: Lookup, messenger: Messenger, claim_above: int | None
    ) -> None:
        self._access = access
        self._wire = wire
        self._lookup = lookup
        self._messenger = messenger
        self._claim_above = claim_above
        self._pending: OrderedDict[str, PendingSaga] = OrderedDict()

    async def send(
        self,
        of: SagaType,
        id: str | None,
        input: object,
        options: StartOptions,
        *,
        signal: str = "",
        payload: msgspec.Raw = NOTHING,
    ) -> SentStart:
        """Send a start, unless its saga is known; durable once this returns.

        Raises InvalidId, InvalidInput, InputTooLarge, AlreadyStarted, StoreError.
        """
        address = SagaKey(of.name, new_id() if id is None else check_id(id))
        plain = of.encode_input(input)
        value = of.payloads.sealed(plain, address, "input")
        room = input_limit(self._wire.max_payload)
        above = room if self._claim_above is None else min(self._claim_above, room)
        limit = room if self._claim_above is None else LARGEST
        if len(value) > limit:
            raise InputTooLarge(len(value), limit)
        context, terms = context_of(options), await self._terms(options, id is None, signal, payload)
        key, message_id = str(address), terms.message_id or new_id()
        judge = partial(_judged, of, plain, address.saga_id, message_id, terms)
        known = None if id is None else await self._lookup.known(key)
        if known is not None and may_return(key, known, judge):
            return SentStart(address, None, terms.signal)
        given = msgspec.Raw(value) if len(value) <= above else await self._stored_apart(key, value)
        request = InboxRequest(
            kind="start",
            input=given,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            trace=context.trace,
            attributes=context.attributes,
            id_conflict=terms.id_conflict,
            at=terms.starts_at,
            signal=signal,
            payload=payload,
        )
        sent = await self._messenger.send(address, message_id, request)
        pending = PendingSaga(self._access, partial(self._messenger.until_started, address, sent, judge))
        self._remember(key, pending)
        return SentStart(address, pending, terms.signal)

    async def _stored_apart(self, key: str, value: bytes) -> msgspec.Raw:
        """Store a large input, and return the claim to send in its place. Raises StoreError."""
        claim = claim_of(value, new_id())
        put = partial(put_value, self._wire, self._lookup.reading.names.values)
        await self._lookup.patiently(partial(write_value, put, self._wire.together, "start", key, claim, value))
        return claim.as_value()

    async def _terms(self, options: StartOptions, made_up: bool, signal: str, payload: msgspec.Raw) -> StartTerms:
        now = 0.0
        if options.get("after") is not None:
            now = await self._lookup.patiently(self._lookup.reading.now)
        return terms_of(options, now=now, made_up=made_up, signal=signal, payload=payload)

    def _remember(self, key: str, pending: PendingSaga) -> None:
        self._pending[key] = pending
        self._pending.move_to_end(key)
        if len(self._pending) > REMEMBERED:
            self._pending.popitem(last=False)

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key, with claims in the place of large values."""
        return (await self.stored(key, partial(self._lookup.find, key)))[0]

    async def stored(self, key: str, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation on a saga. If the saga is not stored yet, but its start was sent, wait for it first."""
        try:
            return await operation()
        except UnknownSaga:
            pending = self._pending.get(key)
            if pending is None:
                raise
        await pending.reach()
        self._pending.pop(key, None)
        return await operation()


def _judged(
    of: SagaType, value: bytes, saga_id: str, message_id: str, terms: StartTerms, known: Record | EndMarker
) -> bool | None:
    if is_started_by(known, message_id):
        return True
    return False if terms.id_conflict == "error" else of.same_input(value, saga_id, known)
