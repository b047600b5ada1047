"""Starts: creates each saga once, however often and by however many programs it is asked for (P10)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from logging import getLogger
from math import inf

import msgspec
import trio
from sagakit_actors import ActorDied, ActorGone

from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import EndMarker, Limits, Record, create, decode, digest
from sagakit.errors import AlreadyStarted, Conflict, InputTooLarge, UnreadableValue
from sagakit.messages.ids import new_id
from sagakit.messages.limits import input_limit
from sagakit.messages.start_context import NOWHERE, StartContext
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.io.persistence import read
from sagakit.system.io.room import Room
from sagakit.system.saga.activation import CreateRecord, Fresh
from sagakit.system.saga.saga_messages import AskStarted

_log = getLogger("sagakit")

LATE = 1.0
"""Seconds after the look into the archive from which on a create has to be confirmed. End markers last longer."""


class Starts:
    """Creates the sagas of one worker. For tasks of its trio thread."""

    def __init__(
        self,
        store: Store,
        sagas: ActiveSagas,
        room: Room,
        *,
        worker_id: str,
        now: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._store = store
        self._sagas = sagas
        self._room = room
        self._worker_id = worker_id
        self._now = now
        self._limits = limits

    async def start(
        self,
        binding: SagaBinding,
        saga_id: str | None,
        value: bytes,
        context: StartContext = NOWHERE,
        *,
        in_line: bool = True,
    ) -> SagaKey:
        """Start a saga with this encoded input, and return its key; durable once this returns.

        `saga_id` None makes an id. Waits while the store is away and, if `in_line`, while the worker is full. If this
        is cancelled, the saga may or may not have been started. Raises InvalidId, InputTooLarge, AlreadyStarted,
        Deleted, StoreFull (the room that is left in the bucket is kept for running sagas), RuntimeClosed.
        """
        limit = input_limit(self._store.max_payload)
        if len(value) > limit:
            raise InputTooLarge(len(value), limit)
        address = SagaKey(binding.plan.saga_type, new_id() if saga_id is None else saga_id)
        key = str(address)
        made_up = saga_id is None
        while True:
            before = trio.current_time()  # the age of the look counts from before it
            known = None if made_up else await self._known(key)
            if known is not None:
                if not _is_input_of(binding, known, value):
                    raise AlreadyStarted(
                        f"{key} was started before with a different input: use another id, or get() the one there is"
                    )
                return address
            # a create that is acknowledged soon after the look needs no other one: no run can have come and gone in
            # between, with an end marker that has expired as well. An id that was just made needs no look at all
            not_after = inf if made_up else before + LATE
            origin = Fresh(self._creator(binding, address, value, context), not_after)
            try:
                with await self._room.claim(key, len(value), child=context.parent is not None):
                    begun = await self._sagas.begin(key, binding, origin, in_line=in_line)
                if begun is not None:
                    return address
                self._sagas.reach(key)  # if it is passivated and its record is gone, its actor finds out
            except (Conflict, ActorDied):
                _log.debug("%s: looking again before it is created", key)
                made_up = False  # a made id that is known may be this very start, created before its actor died

    def _creator(self, binding: SagaBinding, address: SagaKey, value: bytes, context: StartContext) -> CreateRecord:
        return partial(
            create,
            binding.plan,
            saga_id=address.saga_id,
            run=new_id(),
            input=msgspec.Raw(value),
            owner=self._worker_id,
            now=self._now(),
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            trace=context.trace,
            attributes=context.attributes,
            parent=context.parent,
            limits=self._limits,
        )

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


def _is_input_of(binding: SagaBinding, known: Record | EndMarker, value: bytes) -> bool:
    """Return True if a saga was started with this input. Equal values may differ as JSON: a set's order, 5 for 5.0."""
    if known.input_digest == digest(value):
        return True
    if isinstance(known, EndMarker):
        return False
    try:
        return binding.definition.input.same(known.input, value)
    except UnreadableValue:  # as this version has the type
        return False
