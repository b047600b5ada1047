"""The saga actor: one active saga. It holds a cache of the record, asks the engine what follows, and performs it.

    gather what has come in -> fold it into a new record -> write it -> perform its effects

Nothing is performed before the write that intends it is durable (P1). While a write is in flight, messages gather for
the next one. The actor may be thrown away at any moment: the next incarnation loads the record and takes it over.
"""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from math import inf
from typing import TypeAlias, assert_never

import msgspec
from msgspec import structs
from sagakit_actors import Actor, ActorDied, Context, Down, Ref

from sagakit.engine import (
    ENDS,
    Adopted,
    Call,
    EndMarker,
    Finish,
    InputEvent,
    Loaded,
    OutboxEvent,
    Publish,
    Published,
    Record,
    SagaOutcome,
    UnknownFields,
    WakeAt,
    apply,
    decode,
    effects,
    encode,
    encode_marker,
    questions,
    stamped,
)
from sagakit.errors import Fenced, StoreError
from sagakit.store.ports import Entry
from sagakit.system.attempts import SagaBinding
from sagakit.system.messages import (
    Archive,
    Ask,
    Attempted,
    AwaitOutcome,
    Begin,
    Drain,
    Finished,
    Load,
    Peek,
    PublishEvents,
    Put,
    Receipt,
    SagaMessage,
    SetTimer,
    Started,
    Wake,
)
from sagakit.system.services import Services

_log = getLogger("sagakit.saga")


class Fresh(msgspec.Struct, frozen=True):
    """A saga to be created. A create that is undecided at `not_after` (trio time) is given up, see `Put`."""

    record: Record
    not_after: float = inf


class Stored(msgspec.Struct, frozen=True):
    """A record to be taken over at this revision."""

    loaded: Loaded
    revision: int


class Reload(msgspec.Struct, frozen=True):
    """This worker's own record, whatever its revision is now: an earlier incarnation crashed."""


Origin: TypeAlias = Fresh | Stored | Reload


class SagaLife:
    """What outlives one incarnation of a saga's actor. `incarnate` makes the next one, for the supervisor."""

    def __init__(self, services: Services, binding: SagaBinding, key: str, origin: Origin) -> None:
        self._services = services
        self._binding = binding
        self._key = key
        self._origin: Origin = origin

    def incarnate(self) -> SagaActor:
        """The first incarnation starts from the origin, each later one from the record."""
        actor = SagaActor(self._services, self._binding, self._key, self._origin)
        self._origin = Reload()
        return actor


class SagaActor(Actor[SagaMessage]):
    """One incarnation. Ends when the end marker stands, or when the record turns out to be another worker's."""

    tasks = True

    def __init__(self, services: Services, binding: SagaBinding, key: str, origin: Origin) -> None:
        self._services = services
        self._binding = binding
        self._plan = binding.plan
        self._key = key
        self._origin = origin
        self._record: Record
        self._unknown: UnknownFields | None = None
        self._revision = 0
        self._receipt = Receipt()
        self._handed = 0
        self._running: dict[str, int] = {}
        self._timer: float | None = None
        self._finishing = False
        self._draining = False
        self._waiting: list[AwaitOutcome] = []

    async def run(self, ctx: Context[SagaMessage]) -> None:
        """Begin, then fold and perform until finished."""
        try:
            if not await self._begun(ctx):
                return
            ctx.watch(self._services.publisher)
            while True:
                await self._perform(ctx)
                if not await self._turn(await ctx.receive_batch()) or self._may_let_go():
                    return
        except Fenced as error:
            self._services.fenced(error)
            for waiting in self._waiting:
                waiting.reply.fail(error)

    # ------------------------------------------------------------ beginning

    async def _begun(self, ctx: Context[SagaMessage]) -> bool:
        if isinstance(self._origin, Reload):
            return await self._reload()
        begin = await ctx.receive()
        if not isinstance(begin, Begin):
            raise TypeError(f"the first message to a saga's actor is Begin, not {begin!r}")
        try:
            if isinstance(self._origin, Fresh):
                await self._create(self._origin)
            else:
                await self._take_over(self._origin.loaded, self._origin.revision)
        except StoreError as error:
            begin.reply.fail(error)
            return False
        begin.reply.send(None)
        return True

    async def _create(self, origin: Fresh) -> None:
        not_after = None if origin.not_after == inf else origin.not_after
        await self._write(self._answered(origin.record), expected=0, not_after=not_after)

    async def _take_over(self, loaded: Loaded, revision: int) -> None:
        services = self._services
        self._unknown = loaded.unknown
        adopted = Adopted(services.worker_id, services.random())
        await self._write(self._fold(loaded.record, [adopted]), expected=revision)

    async def _reload(self) -> bool:
        entry = await self._load()
        found = decode(self._key, entry.value) if entry is not None else None
        if entry is None or not isinstance(found, Loaded) or found.record.owner != self._services.worker_id:
            return False
        await self._take_over(found, entry.revision)
        return True

    # ------------------------------------------------------------ one turn

    async def _turn(self, messages: Sequence[SagaMessage | Down]) -> bool:
        """Fold what has come in and write it; False when the actor may go."""
        events: list[InputEvent] = []
        asked: list[Ask] = []
        for message in messages:
            match message:
                case Attempted():
                    del self._running[message.ended.step]
                    events.append(message.ended)
                case Ask():
                    asked.append(message)
                    events.append(message.message)
                case AwaitOutcome():
                    self._waiting.append(message)
                case Started() | Peek():
                    message.reply.send(self._record)
                case Finished():
                    return False
                case Wake():
                    self._timer = None
                case Begin():
                    message.reply.send(None)
                case Down():
                    await self._hand_in_again()
                case Drain():
                    self._draining = True
                case _:
                    assert_never(message)
        if self._receipt.confirmed:
            events.append(Published(self._receipt.confirmed))
        record = self._fold(self._record, events)
        if record is not self._record:
            await self._write(record, expected=self._revision)
        for ask in asked:
            ask.reply.send(self._verdict(ask.message.id))
        if self._record.status == "stuck":
            self._answer_waiting([waiting for waiting in self._waiting if waiting.or_stuck])
        return True

    def _answer_waiting(self, those: Sequence[AwaitOutcome]) -> None:
        for waiting in those:
            waiting.reply.send(self._record)
        self._waiting = [waiting for waiting in self._waiting if waiting not in those]

    def _fold(self, record: Record, events: Sequence[InputEvent]) -> Record:
        services = self._services
        return self._answered(
            apply(self._plan, record, events, services.now(), limits=services.limits, hold=self._draining)
        )

    def _may_let_go(self) -> bool:
        """Whether a draining saga can be left to the next owner: no attempt is open, nothing is unknown."""
        return self._draining and not self._running and self._record.status not in ENDS

    def _answered(self, record: Record) -> Record:
        """Answer the engine's questions: functions without effects, so no write need come before them."""
        services = self._services
        while not self._draining and (asked := questions(self._plan, record)):
            answers = [self._binding.answer(question, record) for question in asked]
            record = apply(self._plan, record, answers, services.now(), limits=services.limits)
        return record

    def _verdict(self, message_id: str) -> str:
        return next((known.verdict for known in self._record.inbound if known.id == message_id), "ended")

    # ------------------------------------------------------------ writing

    async def _write(self, record: Record, *, expected: int, not_after: float | None = None) -> None:
        record = stamped(record, write=self._services.next_write())
        value = encode(record, self._unknown)
        self._revision = await self._put(value, expected=expected, not_after=not_after)
        self._record = record

    async def _put(
        self, value: bytes, *, expected: int, not_after: float | None = None, ttl: float | None = None
    ) -> int:
        """Hand in the same bytes until the persistence actor, or its next incarnation, has settled them."""
        while True:
            try:
                return await self._services.persistence.ask(
                    lambda reply: Put(
                        key=self._key, value=value, expected=expected, reply=reply, ttl=ttl, not_after=not_after
                    ),
                    timeout=inf,
                )
            except ActorDied:
                continue

    async def _load(self) -> Entry | None:
        while True:
            try:
                return await self._services.persistence.ask(lambda reply: Load(self._key, reply), timeout=inf)
            except ActorDied:
                continue

    # ---------------------------------------------------------- performing

    async def _perform(self, ctx: Context[SagaMessage]) -> None:
        for effect in effects(self._plan, self._record):
            match effect:
                case Call():
                    if self._running.get(effect.step) != effect.call:
                        self._running[effect.step] = effect.call
                        ctx.nursery.start_soon(self._attempt, ctx.ref, effect, self._record)
                case Publish():
                    await self._publish(effect.events)
                case WakeAt():
                    if self._timer != effect.at:
                        self._timer = effect.at
                        await self._services.timers.tell(SetTimer(ctx.ref, effect.at))
                case Finish():
                    self._finish_soon(ctx)
                case _:
                    assert_never(effect)

    async def _attempt(self, ref: Ref[SagaMessage], call: Call, record: Record) -> None:
        ended = await self._binding.perform(call, record, self._services)
        await ref.tell(Attempted(ended))

    async def _publish(self, events: Sequence[OutboxEvent]) -> None:
        """Hand in what was not handed in yet."""
        new = tuple(event for event in events if event.seq > self._handed)
        if new:
            self._handed = new[-1].seq
            record = self._record
            await self._services.publisher.tell(
                PublishEvents(self._key, record.saga_type, record.run, new, self._receipt)
            )

    async def _hand_in_again(self) -> None:
        """The publisher was lost with what it had not yet confirmed."""
        if self._receipt.lost:
            self._handed = self._receipt.confirmed
            self._receipt = Receipt(confirmed=self._handed)
            await self._publish(self._record.outbox)

    # ----------------------------------------------------------- finishing

    def _finish_soon(self, ctx: Context[SagaMessage]) -> None:
        self._answer_waiting(self._waiting)
        if not self._finishing:
            self._finishing = True
            ctx.nursery.start_soon(self._finish, ctx.ref)

    async def _finish(self, ref: Ref[SagaMessage]) -> None:
        """Events, then archive, then the end marker in the record's place: in this order nothing can be lost."""
        record = self._record
        while not await self._receipt.reached(record.next_event - 1):
            await self._hand_in_again()
        await self._archive(record)
        marker = EndMarker(_outcome(record).at, _outcome(record).status, record.input_digest, record.run)
        await self._put(encode_marker(marker), expected=self._revision, ttl=self._services.config.marker_ttl)
        await ref.tell(Finished())

    async def _archive(self, record: Record) -> None:
        value = encode(structs.replace(record, outbox=[]), self._unknown)
        while True:
            try:
                await self._services.persistence.ask(
                    lambda reply: Archive(
                        key=self._key, value=value, run=record.run, version=record.version, reply=reply
                    ),
                    timeout=inf,
                )
            except ActorDied:
                continue
            return


def _outcome(record: Record) -> SagaOutcome:
    assert record.outcome is not None, "a terminal record has an outcome"
    return record.outcome
