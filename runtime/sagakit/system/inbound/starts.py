"""Starts: creates each saga once, however often and by however many programs it is asked for (P10)."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from math import inf

import msgspec
import trio
from msgspec import structs
from sagakit_actors import ActorDied, ActorGone

from sagakit.binding.saga_binding import SagaBinding
from sagakit.definition.payloads import InSaga
from sagakit.engine import EndMarker, Inbound, Limits, Record, create, decode, digest, is_started_by
from sagakit.engine.record import END_OF_TIME
from sagakit.engine.value_claims import LARGEST
from sagakit.engine.value_places import input_place, known_input_place
from sagakit.errors import AlreadyStarted, Conflict, InputTooLarge, InvalidInput, UnreadableValue
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import IdConflict
from sagakit.messages.limits import input_limit
from sagakit.messages.start_context import NOWHERE, PLAIN, StartContext, StartTerms
from sagakit.store.names import SagaKey
from sagakit.store.ports import InboundMessage, Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.io.persistence import read
from sagakit.system.io.room import Room
from sagakit.system.large_values import LargeValues
from sagakit.system.saga.activation import Fresh
from sagakit.system.saga.saga_messages import AskStarted

_log = getLogger("sagakit")

LATE = 1.0
"""Seconds after the look into the archive from which on a create has to be confirmed. End markers last longer."""


class Begun(msgspec.Struct, frozen=True):
    """The saga that a start leads to. `known` is None if this message has started it, now or before."""

    saga_id: str
    key: str
    known: Record | EndMarker | None


class _Asked(msgspec.Struct, frozen=True):
    """A start that is asked for. `plain` is the input as JSON, `value` the input as it is stored."""

    binding: SagaBinding
    address: SagaKey
    key: str
    plain: bytes
    value: bytes
    context: StartContext
    terms: StartTerms


class Starts:
    """Creates the sagas of one worker. For tasks of its trio thread."""

    def __init__(
        self,
        store: Store,
        sagas: ActiveSagas,
        room: Room,
        large_values: LargeValues,
        *,
        worker_id: str,
        now: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._store = store
        self._sagas = sagas
        self._room = room
        self.large_values: LargeValues = large_values
        """The large values of this worker's sagas."""
        self._worker_id = worker_id
        self._now = now
        self._limits = limits

    async def start(
        self,
        binding: SagaBinding,
        saga_id: str | None,
        value: bytes,
        context: StartContext = NOWHERE,
        terms: StartTerms = PLAIN,
        *,
        in_line: bool = True,
    ) -> Begun:
        """Start a saga with this input, as plain JSON, with its signal if it has one; durable once this returns.

        If another message has started the saga, it is returned as it is, and its signal has still to be sent.

        `saga_id` None makes an id. Waits while the store is away and, if `in_line`, while the worker is full. If this
        is cancelled, the saga may or may not have been started. Raises InvalidId, InvalidInput (the signal does not
        fit), InputTooLarge, AlreadyStarted, Deleted, StoreFull (the room that is left in the bucket is kept for running
        sagas), RuntimeClosed.
        """
        asked = self._asked(binding, saga_id, value, context, terms)
        key, made_up, not_after = asked.key, saga_id is None, inf
        while True:
            # a create that is acknowledged soon after the look needs no other one: no run can have come and gone in
            # between, with an end marker that has expired as well. An id that was just made needs no look at all
            if not made_up:
                not_after = trio.current_time() + LATE  # the age of the look counts from before it
                known = await self._known(key)
                if known is not None:
                    return Begun(asked.address.saga_id, key, await self._existing(asked, known))
            fresh, size = self._fresh(asked, not_after=not_after)
            try:
                with await self._room.reserve(key, size, child=context.parent is not None):
                    begun = await self._sagas.begin(key, binding, fresh, in_line=in_line)
                if begun is not None:
                    return Begun(asked.address.saga_id, key, None)
                self._sagas.reach(key)  # if it is passivated and its record is gone, its actor finds out
            except (Conflict, ActorDied):
                _log.debug("%s: looking again before it is created", key)
                made_up = False  # a made id that is known may be this very start, created before its actor died

    def _asked(
        self, binding: SagaBinding, saga_id: str | None, plain: bytes, context: StartContext, terms: StartTerms
    ) -> _Asked:
        """Return what is asked for, checked. Raises InvalidId, InputTooLarge, InvalidInput."""
        address = SagaKey(binding.plan.saga_type, new_id() if saga_id is None else saga_id)
        of, part = input_place(address, context.parent)
        value = binding.payloads.sealed(plain, of, part, foreign=context.parent is not None)
        limit = LARGEST if self.large_values.on else input_limit(self._store.max_payload)
        if len(value) > limit:
            raise InputTooLarge(len(value), limit)
        terms = terms if terms is PLAIN else self._checked(terms)
        return _Asked(binding, address, str(address), plain, value, context, terms)

    async def _existing(self, asked: _Asked, known: Record | EndMarker) -> Record | EndMarker | None:
        """Return the saga that has the id already; None if this start has made it. Raises AlreadyStarted."""
        if is_started_by(known, asked.terms.message_id):
            return None
        if not isinstance(known, EndMarker) and known.input_digest != digest(asked.value):
            known = await self.large_values.filled(asked.key, known)  # equal values may differ as JSON
        place = known_input_place(asked.address, known, asked.context.parent)
        _check_same(asked.key, asked.binding, known, asked.plain, place, asked.terms.id_conflict)
        return known

    def _fresh(self, asked: _Asked, *, not_after: float) -> tuple[Fresh, int]:
        """Return a new saga, and the bytes of its input in the record. Raises InvalidInput for its signal."""
        binding, context, terms = asked.binding, asked.context, asked.terms
        signal = None if terms.signal is None else self._taken_signal(binding, terms.signal, asked.key)
        run, value, now = new_id(), msgspec.Raw(asked.value), self._now()
        values = self.large_values.of_new(run)
        kept = value if values is None else values.claim(value)
        input_digest = "" if values is None else digest(asked.value)
        saga_id, start_id, starts_at = asked.address.saga_id, terms.message_id, terms.starts_at

        # it lives as long as the saga's actor, so it must not hold `asked`: that has the whole input as plain JSON
        def first_record(*, hold: bool) -> Record:
            return create(
                binding.plan,
                saga_id=saga_id,
                run=run,
                input=kept,
                input_digest=input_digest,
                owner=self._worker_id,
                now=now,
                correlation_id=context.correlation_id,
                causation_id=context.causation_id,
                trace=context.trace,
                attributes=context.attributes,
                parent=context.parent,
                start_id=start_id,
                starts_at=starts_at,
                signal=signal,
                limits=self._limits,
                hold=hold,
            )

        return Fresh(first_record, not_after, values), len(memoryview(kept))

    def _checked(self, terms: StartTerms) -> StartTerms:
        """Return the terms as they hold now. Raises InvalidInput for a time beyond the calendar."""
        if terms.starts_at is not None and not terms.starts_at < END_OF_TIME:
            raise InvalidInput("the saga would start after the year 9999")
        if terms.starts_at is not None and terms.starts_at <= self._now():
            terms = structs.replace(terms, starts_at=None)
        if terms.id_conflict == "error" and not terms.message_id:
            # a lost answer leads back to the look, which must not take the saga of this very start for another one
            terms = structs.replace(terms, message_id=new_id())
        return terms

    def _taken_signal(self, binding: SagaBinding, signal: Inbound, key: str) -> Inbound:
        """Return a signal as a new saga takes it. Raises InvalidInput if it would not."""
        node = binding.plan.by_name.get(signal.step)
        if node is None or node.kind != "signal":
            raise InvalidInput(f"{binding.plan.saga_type} has no signal {signal.step!r}")
        taken = binding.taken(signal, key)
        if len(memoryview(taken.payload)) > self._limits.results:
            raise InvalidInput(f"the payload of {signal.step} is too large: pass a reference to large data")
        if taken.refused:
            raise InvalidInput(taken.refused)
        return taken

    def time_after(self, seconds: float, message: InboundMessage) -> float:
        """Return the time so long after the server stored a message, in seconds since the epoch."""
        return self._now() + seconds - self._store.inbox.age(message)

    async def _known(self, key: str) -> Record | EndMarker | None:
        """Return the record or end marker of a known id, active, archived or just ended; None if it was not started."""
        ref = self._sagas.get(key)
        if ref is not None:
            try:
                return await ref.ask(AskStarted, timeout=inf)
            except (ActorDied, ActorGone):
                await trio.lowlevel.checkpoint()
        # in this order: a saga that is archived between the two reads has left its end marker under the live key
        archived = await read(self._store, self._store.archive, key)
        entry = archived or await read(self._store, self._store.state, key)
        if entry is None:
            return None
        found = decode(key, entry.value)
        return found if isinstance(found, EndMarker) else found.record


def _check_same(
    key: str,
    binding: SagaBinding,
    known: Record | EndMarker,
    value: bytes,
    place: tuple[InSaga, str],
    id_conflict: IdConflict,
) -> None:
    """Raise AlreadyStarted if a start is in conflict with the one that is known, by another message."""
    if id_conflict == "error":
        raise AlreadyStarted(
            f'{key} was started before: use another id, get() the saga that exists, or say id_conflict="return"'
        )
    difference = _difference(binding, known, value, place)
    if difference is not None:
        raise AlreadyStarted(f"{key} was started before {difference}: use another id, or get() the saga that exists")


def _difference(binding: SagaBinding, known: Record | EndMarker, value: bytes, place: tuple[InSaga, str]) -> str | None:
    """Return words about the input of a saga if it differs from this one, or cannot be compared with it; else None.

    Equal values may differ as JSON: a set's order, 5 for 5.0.
    """
    if known.input_digest in binding.payloads.digests(value, *place):
        return None
    if isinstance(known, EndMarker):  # its digest may be keyed, which cannot be seen
        return "with a different input, or by a program with another payload codec or key"
    try:
        return None if binding.definition.input.same(binding.values.input(known), value) else "with a different input"
    except UnreadableValue as error:  # it is sealed, or this version has another type
        return f"with an input that cannot be compared with this one ({error})"
