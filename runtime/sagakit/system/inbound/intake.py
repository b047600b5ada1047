"""The intake: takes messages from the inbox and acknowledges each of them only after it has been applied.

The wire format is public JSON: see `InboxRequest` and docs/wire.md. A message meets one of four ends here:

    applied      its effect is durable: it is acknowledged; so is a heartbeat that was tried once
    parked       it cannot be applied yet (no owner, no room): a durable copy waits, and comes again
    dead letter  it can never be applied: it is kept with the reason
    given back   this worker stops, and another one has it at once; or too many wait to be buried, or it is a heartbeat
                 and its lane is full, and it comes later

Each type has one lane for starts and one for all other messages, so that no type, no unknown id and no flood of starts
holds up anything else. A message that finds its lane full is parked. What is to be buried never holds up what comes in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from logging import WARNING, getLogger
from typing import TypeAlias, TypeVar

import trio
from sagakit_actors import Actor, ActorContext, Backoff

from sagakit.errors import Ambiguous, InvalidInput, SagakitError, StoreError, TooLarge, Unavailable, UnknownSaga
from sagakit.messages.inbox_request import InboxRequest
from sagakit.ration import Ration
from sagakit.store.ports import InboundMessage, Parking, Source, Store
from sagakit.system.inbound.applier import (
    Applier,
    LeftToOthers,
    Spoilt,
    Unowned,
    is_final,
    may_be_hopeless,
    read_request,
)
from sagakit.system.inbound.dead_letters import Dead, DeadLetters
from sagakit.system.inbound.disposal import Disposal
from sagakit.system.inbound.in_hand import InHand
from sagakit.system.inbound.lane import Lane

_log = getLogger("sagakit.intake")

AT_ONCE, WAITING, STARTS_WAITING = 256, 768, 256
"""Numbers of messages of one type and sort that are handled at the same time, and that wait in the lane; starts may be
large, and fewer of them wait. The messages of two jobs fit in here, so that none of them is parked."""
PARKED_AT_ONCE, BURIED_AT_ONCE = 128, 32
"""Numbers of messages that are parked in one group, and that are buried in one. A saga takes dozens of turns of the
loop, and a turn takes as long as all that is done in it. So little of what nobody waits for is done in one turn: on a
busy worker burials fall behind, and catch up after the flood. What waits to be parked takes room from what comes in."""
LARGE = 16 * 1024
"""Bytes of a payload above which a message that is parked or buried goes before those that wait for that."""
TAKEN_AT_ONCE = 64
"""Number of new messages that are taken without a turn for others."""
RETRYING = 32
"""Number of messages that were parked and are tried again at the same time. It is small: new messages need the
processor."""
PATIENCE = 3.0
"""Seconds that a message gets here before it is parked."""
CROWD = 128
"""Number of messages in hand above which a message to a saga that is not stored is parked at its first try."""
TRY_AGAIN = Backoff(initial_interval=0.05, max_interval=1.0)
UNKNOWN_TRIES = 2
"""Number of further tries, within a quarter of a second, for a saga that is not stored: its start may come a moment
later."""
UNKNOWN_FOR = 40.0
"""Seconds after which a message to a saga that is not stored becomes a dead letter. It is longer than DUPLICATES: while
the server drops a second copy for its id, the first one still waits for its saga."""
AGAIN = 5.0, 15.0
"""Bounds of the seconds after which a message comes again that found no room among those that wait to be buried. They
are spread, since messages that come again are handed out before new ones."""
SOONEST, LATEST, LATEST_UNKNOWN = 0.5, 5.0, 10.0
"""Bounds of the seconds between two tries of a parked message, which grow with its age; the last one is for sagas that
are not stored. An owner comes within seconds; most messages to sagas that are not stored wait in vain."""
T = TypeVar("T")
_Taken: TypeAlias = tuple[InboundMessage, InboxRequest]
_InboxLane: TypeAlias = Lane[_Taken]


class Intake(Actor[None]):
    """Applies the messages in the inbox for the types that this worker knows."""

    tasks = True

    def __init__(
        self,
        store: Store,
        applier: Applier,
        *,
        saga_types: Sequence[str],
        worker_id: str,
        interval: float,
        buried: Callable[[str], None],
        saw_dead_commands: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._store = store
        self._applier = applier
        self._saga_types = saga_types
        self._dead_letters = DeadLetters(
            store, worker_id, interval=interval, buried=self._count_buried, saw_dead_commands=saw_dead_commands
        )
        self._buried = buried
        self._in_hand = InHand()
        self._ration = Ration(_log, now=trio.current_time)
        self._nursery: trio.Nursery
        self._parkings = Disposal(store, self._park, most=PARKED_AT_ONCE)
        self._burials = Disposal(store, self._bury, most=BURIED_AT_ONCE)
        self._spoilt = Disposal(store, self._judge, most=BURIED_AT_ONCE)
        """Starts whose input cannot be read here. It may take a while to find out if another worker can read it."""

    async def started(self, ctx: ActorContext[None]) -> None:
        """Take messages from now on."""
        self._nursery = ctx.nursery
        for saga_type in self._saga_types:
            starts, others = self._lane(start=True, waiting=STARTS_WAITING), self._lane(start=False)
            parked = self._lane(start=False, at_once=RETRYING, waiting=0)
            ctx.nursery.start_soon(self._take_new, saga_type, starts, others)
            ctx.nursery.start_soon(self._take_parked, saga_type, "parked", parked)
            ctx.nursery.start_soon(self._take_parked, saga_type, "parked starts", starts)
        for disposal in (self._parkings, self._burials, self._spoilt):
            ctx.nursery.start_soon(disposal.run)
        ctx.nursery.start_soon(self._in_hand.extend)
        ctx.nursery.start_soon(self._dead_letters.mind_strays)

    async def stopped(self, ctx: ActorContext[None]) -> None:
        """Give back the messages that are not done with."""
        self._in_hand.give_back()

    def _lane(self, *, start: bool, at_once: int = AT_ONCE, waiting: int = WAITING) -> _InboxLane:
        return Lane(self._nursery, partial(self._handle, start=start), at_once=at_once, waiting=waiting)

    # -------------------------------------------------------------- taking

    async def _take_new(self, saga_type: str, starts: _InboxLane, others: _InboxLane) -> None:
        taken = 0
        async with self._store.inbox.receive(saga_type, "new") as messages:
            async for message in messages:
                taken += 1
                if taken % TAKEN_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                request = await self._hold(message)
                if request is None:
                    continue
                if request.kind == "heartbeat":
                    self._take_heartbeat(message, request, others)
                    continue
                start = request.kind == "start"
                if start and self._is_crowded and (spoilt := self._applier.find_spoilt(message, request)):
                    self._condemn(message, self._spoilt, spoilt)
                    continue
                if start:
                    self._in_hand.works_on_start(message)
                elif self._is_crowded and self._waits_in_vain(message):
                    self._set_aside(message, start)
                    continue
                if not (starts if start else others).offer((message, request)):
                    self._set_aside(message, start)

    def _take_heartbeat(self, message: InboundMessage, request: InboxRequest, lane: _InboxLane) -> None:
        """Take a heartbeat. It never waits for its saga, nor for room: it is given back if the lane is full."""
        done = self._applier.notes_heartbeat(message, request) or self._waits_in_vain(message)
        if not done and lane.offer((message, request)):
            return
        acknowledger = self._in_hand.let_go(message)
        if done or self._applier.is_absent(message):
            acknowledger.ack()
        else:
            acknowledger.defer(SOONEST)  # an owner that hears of none believes in silence

    async def _take_parked(self, saga_type: str, source: Source, lane: _InboxLane) -> None:
        async with self._store.inbox.receive(saga_type, source) as messages:
            async for message in messages:
                if source == "parked" and self._waits_in_vain(message):
                    message.acknowledger.defer(self._pause(message, unknown=True))
                    continue
                request = await self._hold(message)
                if request is not None:
                    await lane.put((message, request))

    def _waits_in_vain(self, message: InboundMessage) -> bool:
        """Return True if a message cannot be applied yet, nor be given up: its saga was not stored a moment ago.

        In a flood this spares a message all that is done to handle it.
        """
        if not self._applier.is_absent(message) or self._in_hand.has_start(message.address):
            return False
        return self._store.inbox.age(message) < UNKNOWN_FOR

    async def _hold(self, message: InboundMessage) -> InboxRequest | None:
        """Take a message in hand and return its request; None if it is in hand already or can never be applied."""
        await self._in_hand.room()
        if not self._in_hand.take(message):
            return None
        try:
            return read_request(message)
        except SagakitError as error:
            self._condemn(message, self._burials, Dead(message, error))
            return None

    async def _judge(self, group: Sequence[Spoilt]) -> Sequence[Spoilt]:
        """Have starts buried that no other worker can read either, and have all others parked."""
        for spoilt in group:
            trouble = await self._applier.judge(spoilt)
            if is_final(trouble):
                self._condemn(spoilt.message, self._burials, Dead(spoilt.message, trouble))
            else:
                self._set_aside(spoilt.message, start=True)
        return ()

    # ------------------------------------------------------------ handling

    async def _handle(self, taken: _Taken, *, start: bool) -> None:
        message, request = taken
        heartbeat = request.kind == "heartbeat"
        trouble = await self._apply(message, request, once=heartbeat or (message.parked and not start))
        if trouble is None or heartbeat:  # what a heartbeat cannot tell now, the next one does
            self._in_hand.let_go(message).ack()
        elif is_final(trouble) or await self._is_hopeless(message, request, trouble):
            await self._refuse(message, request, trouble)
        elif not message.parked:
            self._set_aside(message, start)
        else:
            at_once = start and not isinstance(trouble, LeftToOthers)
            pause = 0 if at_once else self._pause(message, unknown=isinstance(trouble, UnknownSaga))
            self._in_hand.let_go(message).defer(pause)

    async def _apply(self, message: InboundMessage, request: InboxRequest, *, once: bool) -> SagakitError | None:
        """Apply a message, with several tries within PATIENCE unless `once`. Return None, or the error that is left."""
        failures = 0
        trouble: SagakitError = Unowned(f"{message.subject}: it takes longer than {PATIENCE:g} s")
        with trio.move_on_after(PATIENCE):
            while True:
                starts = self._in_hand.has_start(message.address)
                try:
                    await self._applier.apply(message, request, sparing=once or self._is_crowded)
                    return None
                except SagakitError as error:
                    trouble = error.with_traceback(None)  # else it and this frame would hold each other
                # its start may have ended while this looked for the saga
                if isinstance(trouble, UnknownSaga) and (await self._in_hand.until_started(message.address) or starts):
                    continue
                failures += 1
                tries = 0 if self._is_crowded else UNKNOWN_TRIES
                unknown = isinstance(trouble, UnknownSaga) and failures > tries
                if once or unknown or isinstance(trouble, LeftToOthers) or is_final(trouble):
                    break
                await trio.sleep(TRY_AGAIN.delay(failures))
        return trouble

    async def _refuse(self, message: InboundMessage, request: InboxRequest, error: SagakitError) -> None:
        try:
            error = await self._applier.refused(message, request, error)
        except StoreError as trouble:
            if not await self._is_hopeless(message, request, trouble):
                text = "%s: its parent is not told yet that it cannot be started: %s"
                self._ration.say(WARNING, text, message.subject, trouble)
                self._in_hand.let_go(message).defer(LATEST)
                return
            error = InvalidInput(f"{error}; its parent cannot be told: {trouble}")
        self._condemn(message, self._burials, Dead(message, error))

    async def _is_hopeless(self, message: InboundMessage, request: InboxRequest, trouble: SagakitError) -> bool:
        """Return True if a message has waited for too long for a saga that is not stored or not readable.

        A message whose saga's start still waits in the inbox is not hopeless.
        """
        if not may_be_hopeless(trouble) or self._store.inbox.age(message) < UNKNOWN_FOR:
            return False
        if request.kind == "start":
            return True
        try:
            return not await self._store.inbox.start_waits(message.address)
        except StoreError:
            return False

    @property
    def _is_crowded(self) -> bool:
        """True if so many messages are in hand that one to a saga that is not stored gives way at once."""
        return len(self._in_hand) > CROWD

    def _pause(self, message: InboundMessage, *, unknown: bool) -> float:
        age = self._store.inbox.age(message)
        if unknown:
            return min(LATEST_UNKNOWN, max(SOONEST, age))
        return min(LATEST, max(SOONEST, age / 4))

    # ----------------------------------------------------------- disposing

    def _set_aside(self, message: InboundMessage, start: bool) -> None:
        """Have a message parked, without waiting for that. A large one is first: it makes room for others."""
        self._in_hand.set_aside(message)
        self._parkings.add(Parking(message, start), first=len(message.payload) > LARGE)

    def _condemn(self, message: InboundMessage, disposal: Disposal[T], item: T) -> None:
        """Have a message buried, without waiting for that; or give it back if too many wait."""
        if self._in_hand.condemn(message):
            disposal.add(item, first=len(message.payload) > LARGE)
        else:
            self._in_hand.let_go(message).defer(random.uniform(*AGAIN))

    async def _park(self, group: Sequence[Parking]) -> Sequence[Parking]:
        again: list[Parking] = []
        for parking, error in zip(group, await self._store.inbox.park(group), strict=True):
            message = parking.message
            if error is None:
                self._in_hand.let_go(message)
            elif isinstance(error, Unavailable | Ambiguous):
                again.append(parking)
            elif isinstance(error, TooLarge):
                self._condemn(message, self._burials, Dead(message, error))
            else:
                text = "%s: message %s cannot wait in the inbox: %s"
                self._ration.say(WARNING, text, message.subject, message.id, error)
                self._in_hand.let_go(message).defer(LATEST)
        return again

    def _count_buried(self, saga_type: str) -> None:
        # the types of strays come from outside, and there may be any number of them
        self._buried(saga_type if saga_type in self._saga_types else "")

    async def _bury(self, group: Sequence[Dead]) -> Sequence[Dead]:
        again: list[Dead] = []
        for dead, error in zip(group, await self._dead_letters.bury(group), strict=True):
            if error is None:
                self._in_hand.let_go(dead.message)
            elif isinstance(error, Unavailable | Ambiguous):
                again.append(dead)
            else:
                self._in_hand.let_go(dead.message).defer(LATEST)
        return again
