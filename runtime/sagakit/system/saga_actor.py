"""The saga actor: one active saga. It holds a cache of the record, asks the engine what follows, and performs it.

    gather what has come in -> fold it into a new record -> write it -> perform its effects

Nothing is performed before the write that intends it is durable (P1). One write is in flight at a time; what comes in
meanwhile gathers for the next. The actor may be thrown away at any moment: the next incarnation loads the record and
takes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from logging import getLogger
from math import inf
from typing import assert_never

import trio
from msgspec import structs
from sagakit_actors import Down, Reactor, ReactorContext, Ref, Reply

from sagakit.definition import Plan
from sagakit.engine import (
    ENDS,
    Adopted,
    AttemptEnded,
    Call,
    Finish,
    GaveUp,
    Inbound,
    InputEvent,
    Isolated,
    Limits,
    Loaded,
    Orphaned,
    Publish,
    Published,
    Record,
    TellParent,
    UnknownFields,
    WakeAt,
    apply,
    awaits_isolation,
    decode,
    effects,
    encode,
    foreign,
    makes_room,
    marker_of,
    questions,
    read_header,
    stamped,
    verdict_of,
)
from sagakit.engine.oversize import fitted
from sagakit.engine.table import OPEN
from sagakit.errors import (
    Conflict,
    Fenced,
    NewerSchema,
    Overwritten,
    SagakitError,
    StoreError,
    StoreFull,
    TooLarge,
    Undecodable,
)
from sagakit.store.ports import Entry
from sagakit.system.activation import Fresh, GiveUp, Passivated, Reactivate, Reload, TakeOver
from sagakit.system.alone import Alone
from sagakit.system.calls import Calls
from sagakit.system.environment import Environment
from sagakit.system.messages import (
    Ask,
    AskStarted,
    Attempted,
    AwaitOutcome,
    AwaitQuiet,
    ChildrenReleased,
    Compare,
    Confirm,
    Done,
    Drain,
    LeaseGood,
    Load,
    ParentTold,
    Passivate,
    Peek,
    PersistenceMessage,
    Put,
    Retire,
    RunAlone,
    SagaMessage,
    Settled,
    Wake,
)
from sagakit.system.outbox import Outbox
from sagakit.system.passivation import may_passivate, mind_place
from sagakit.system.proposal import HeldBack, Proposal, held_back, most_bytes, split
from sagakit.system.reminders import Reminders
from sagakit.system.retirement import Retirement
from sagakit.system.slot import SagaSlot
from sagakit.system.waiters import Waiters

_log = getLogger("sagakit")


class OutOfDate(SagakitError):
    """What this incarnation remembers is not what stands in the bucket: begin anew."""


class SagaActor(Reactor[SagaMessage]):
    """One incarnation. Ends when the end marker stands, or when the record turns out to be another worker's."""

    _ctx: ReactorContext[SagaMessage]
    _ref: Ref[SagaMessage]
    _reminders: Reminders
    _alone: Alone
    _calls: Calls
    _retirement: Retirement
    _record: Record
    """The last durable record; there is none before the first write is."""

    def __init__(self, environment: Environment, slot: SagaSlot) -> None:
        self._environment = environment
        self._slot = slot
        self._binding = slot.binding
        self._plan = slot.binding.plan
        self._key = key = slot.key
        self._activation = activation = slot.next_activation()
        self._unknown: UnknownFields | None = None
        self._revision = 0
        self._stored = 0
        """Bytes of the record as it is stored; 0 if that is not known."""
        self._begun = False
        self._draining = environment.sagas.draining
        self._over = False
        # what came in and is not folded yet; who waits for what
        self._events: list[InputEvent] = []
        self._begin: Reply[None] | None = None
        self._waiters = Waiters(partial(_verdict, self._plan, environment.limits))
        # what is under way
        self._operation: PersistenceMessage | None = None
        self._then: Callable[[int | Entry | None], None] | None = None
        self._proposal: Proposal | None = None
        self._held_back: HeldBack | None = None
        confirmed = activation.confirmed if isinstance(activation, Reactivate) else 0
        self._outbox = Outbox(environment.publisher, key, confirmed=confirmed)
        self._lease_awaited = False
        self._held = False
        """Whether another saga, a suspect, has the worker to itself."""
        self._hold = False
        """Whether no attempt may be opened, for whatever reason."""
        self._rests = False
        self._due = False

    def begin(self, ctx: ReactorContext[SagaMessage]) -> None:
        """Write the first record, or the adoption; a later incarnation looks for its record."""
        self._ctx = ctx
        self._ref = ctx.ref
        self._reminders = Reminders(self._environment.timers, ctx.ref)
        self._alone = Alone(self._environment.isolation, ctx.ref, ctx.incarnation)
        self._calls = Calls(ctx, self._binding, self._environment)
        self._retirement = Retirement(ctx, self._environment, self._outbox)
        ctx.watch(self._environment.publisher)
        ctx.watch(self._environment.persistence)
        ctx.watch(self._environment.timers)
        ctx.watch(self._environment.isolation)
        match self._activation:
            case Fresh(create=create, not_after=not_after):
                self._begin = self._slot.begun = ctx.promise()
                record = self._answered(create(hold=self._holds()))
                self._write(record, not_after=None if not_after == inf else not_after)
            case TakeOver(loaded=loaded, revision=revision):
                self._begin = self._slot.begun = ctx.promise()
                self._take_over(loaded, revision)
            case Reload() | GiveUp() | Reactivate():
                self._load()
            case _:
                assert_never(self._activation)

    def react(self, messages: list[SagaMessage | Down]) -> bool:
        """Take what has come in, fold, write, perform."""
        try:
            for message in messages:
                self._take(message)
            self._advance()
        except Fenced as error:
            self._environment.fenced(error)
            self._waiters.fail(error)
            return False
        return not self._over

    # ---------------------------------------------------------- what comes in

    def _take(self, message: SagaMessage | Down) -> None:
        match message:
            case Settled():
                self._on_settled(message)
            case Attempted():
                self._events.append(message.ended)  # it counts as running until that is folded: nothing is called twice
            case AwaitOutcome():
                self._waiters.for_end(message)
            case AskStarted() | Peek():
                self._waiters.for_record(message.reply)
            case Ask():
                self._on_ask(message)
            case Wake():
                self._reminders.woken(message, self._environment.now())
                self._due = True
            case Passivate():
                self._rests = True
            case ParentTold():
                self._retirement.parent_knows = True
                if not message.there:
                    self._events.append(Orphaned())
            case ChildrenReleased():
                self._may_retire()
            case Down():
                self._on_down(message)
            case Compare():
                self._compare(message)
            case RunAlone():
                if self._alone.granted(message):
                    self._environment.sagas.places.seize(self._key)
                    self._events.append(Isolated())
            case AwaitQuiet():
                self._waiters.for_quiet(message.reply)
            case LeaseGood():
                self._look_again()
            case Drain():
                self._draining = True
            case _:
                assert_never(message)

    def _on_ask(self, ask: Ask) -> None:
        self._waiters.for_verdict(ask)
        self._events.append(structs.replace(ask.message, refused=self._binding.refuses(ask.message)))

    def _on_down(self, notice: Down) -> None:
        """An actor of the system was lost: hand in again what it has not answered."""
        environment = self._environment
        if notice.ref is environment.persistence:
            if self._operation is not None:
                environment.persistence.tell_nowait(self._operation)
        elif notice.ref is environment.publisher:
            if self._begun:
                self._outbox.publish_again(self._record)
                self._mind_room()
        elif notice.ref is environment.isolation:
            self._alone.isolation_lost()
        else:
            self._reminders.again()

    def _on_settled(self, settled: Settled) -> None:
        if settled.number != self._slot.operations or self._operation is None:
            return  # the answer of a persistence actor that was lost meanwhile, or to the incarnation before
        operation, self._operation = self._operation, None
        then, self._then = self._then, None
        assert then is not None
        if not isinstance(settled.result, StoreError):
            then(settled.result)
        elif isinstance(settled.result, Overwritten) and (self._begun or self._begin is None):
            self._hand_in_again(operation, then, settled.result)
        elif isinstance(settled.result, TooLarge) and self._proposal is not None:
            self._too_large(self._proposal, settled.result)
        elif isinstance(settled.result, StoreFull) and self._begun and self._proposal is not None:
            self._take_back(self._proposal, settled.result)
        elif self._begun or self._begin is None:
            raise settled.result
        else:
            self._begin.fail(settled.result)
            self._slot.accounted_for = isinstance(settled.result, Conflict | Undecodable)
            self._over = True

    # ---------------------------------------------------------------- begin

    def _load(self, _: int | Entry | None = None) -> None:
        self._operate(Load(self._key, self._done()), partial(self._loaded, trio.current_time()))

    def _loaded(self, at: float, entry: int | Entry | None) -> None:
        """This worker's own record, after a rest, or after a crash of the incarnation before."""
        self._stored = len(entry.value) if isinstance(entry, Entry) else 0
        try:
            found = decode(self._key, entry.value) if isinstance(entry, Entry) else None
        except Undecodable as error:
            assert isinstance(entry, Entry)
            self._not_read(error, entry.revision)
            return
        ours = isinstance(found, Loaded) and found.record.owner == self._environment.worker_id
        if not isinstance(found, Loaded) or not isinstance(entry, Entry) or not ours:
            self._over = self._slot.accounted_for = True  # it never came to be, has ended, or is another worker's
            if isinstance(self._activation, Reactivate) and found is None:
                _log.warning("%s: its record is gone, removed from outside; nothing of it is undone", self._key)
            return
        self._slot.seen_at = at
        if isinstance(self._activation, Reactivate) and not _has_open_attempts(found.record):
            self._go_on(found, entry.revision)
        else:
            self._take_over(found, entry.revision)

    def _not_read(self, error: Undecodable, revision: int) -> None:
        """What stands there is not a record, or a newer worker's. After a rest nobody has the record in memory."""
        if self._slot.durable is None or isinstance(error, NewerSchema):
            self._environment.reports.left_alone(self._key, str(error))
            self._over = True
        else:
            self._write_back(Overwritten(self._key, error.found, revision), self._load)

    def _go_on(self, loaded: Loaded, revision: int) -> None:
        """After a rest nothing was under way: there is nothing to take over."""
        self._unknown = loaded.unknown
        self._stands(loaded.record, revision)
        self._begun = self._due = True
        self._perform()

    def _take_over(self, loaded: Loaded, revision: int) -> None:
        """What was written once may have been created too late, by whoever did not live to see it."""
        if loaded.record.version > 1:
            self._adopt(loaded, revision)
        else:
            confirm = Confirm(key=self._key, run=loaded.record.run, revision=revision, done=self._done())
            self._operate(confirm, lambda _: self._adopt(loaded, revision))

    def _adopt(self, loaded: Loaded, revision: int) -> None:
        environment = self._environment
        self._unknown = loaded.unknown
        self._revision = revision
        events: list[InputEvent] = [Adopted(environment.worker_id, environment.random())]
        if isinstance(self._activation, GiveUp):
            events.append(GaveUp(self._activation.error))
        self._propose(loaded.record, self._fold(loaded.record, events), events, ())

    # ----------------------------------------------------------------- turn

    def _advance(self) -> None:
        """Fold what has gathered, unless a write is in flight; answer those whose answer is known."""
        if self._operation is not None or self._over or not self._begun:
            return
        if self._retirement.may_retire:
            self._retire()
            return
        if self._lease_awaited:  # an attempt is intended and not called yet: nothing may overtake it
            self._mind_drain()
            return
        record = self._record
        if self._events or self._due:
            held, self._held_back = self._held_back, None
            if held is not None:
                self._events[:0] = self._taken_up(held)
            published = [Published(self._outbox.confirmed)] if self._outbox.confirmed else []
            events = [*self._events, *published]
            proposed = self._fold(record, events)
            if proposed is not record and not self._may_write(proposed):
                self._mind_drain()
                return
            for event in self._events:
                if isinstance(event, AttemptEnded):
                    self._calls.ended(event.step)
                    self._environment.reports.folded(self._key, event, proposed)
            self._events, self._due = [], False
            if self._propose(record, proposed, events, self._waiters.take_asked()):
                return
        if self._held_back is not None:
            self._waiters.answer_looking(record)
            self._mind_quiet()
            self._mind_drain()
        else:
            self._waiters.answer(record)
            self._mind_isolation()
            self._mind_drain()
            self._mind_repose()

    def _propose(self, base: Record, record: Record, events: Sequence[InputEvent], asked: Sequence[Ask]) -> bool:
        """Write what `events` have made of `base`, if anything has come of them; answer those who asked if not."""
        if record is not base:
            self._write(record, asked, base, events)
            return True
        self._waiters.answer_asked(asked, base)
        return False

    def _fold(self, record: Record, events: Sequence[InputEvent]) -> Record:
        environment = self._environment
        hold, now = self._holds(), environment.now()
        return self._answered(apply(self._plan, record, events, now, limits=environment.limits, hold=hold))

    def _holds(self) -> bool:
        """Whether no attempt may be opened now; if one may, this saga has a place."""
        self._held = not self._environment.gate.admits(self._ref)
        self._hold = self._draining or self._held or not self._environment.sagas.places.use(self._key)
        return self._hold

    def _answered(self, record: Record) -> Record:
        """Answer the engine's questions: functions without effects, so no write need come before them."""
        environment = self._environment
        while not self._hold and (asked := questions(self._plan, record)):
            answers = [self._binding.answer(question, record) for question in asked]
            record = apply(self._plan, record, answers, environment.now(), limits=environment.limits)
            for answer in answers:
                environment.reports.answered(self._key, answer, record)
        return record

    def _mind_drain(self) -> None:
        """A draining saga is left to the next owner once nothing is open, unless it is about to be over."""
        waits = self._record.status not in ENDS or self._retirement.awaits_release
        if self._draining and not self._calls.at_work and waits and not self._over:
            self._environment.sagas.let_go()
            self._over = True

    def _mind_isolation(self) -> None:
        """Ask for a turn alone, and give it back; let those go on who wait until nothing is under way here."""
        wanted = not self._draining and awaits_isolation(self._plan, self._record, self._environment.now())
        if wanted or self._alone.pending:
            self._alone.mind(alone=self._record.alone, wanted=wanted)
        self._mind_quiet()

    def _mind_quiet(self) -> None:
        if not self._calls.at_work:
            self._waiters.quiet()

    def _mind_room(self) -> None:
        """While attempts are held back for want of room in the outbox: look again once half of it is in the log."""
        seq = makes_room(self._record, self._environment.limits)
        if seq is not None:
            self._outbox.when_confirmed(seq, partial(self._ref.signal, Wake()))

    def _mind_repose(self) -> None:
        """While nothing is under way others may have the place; the actor gives way if that lasts.

        See docs/architecture.md, "Sagas that wait".
        """
        told, self._rests = self._rests, False
        if self._over or self._calls.at_work or self._retirement.has_begun:
            return
        environment, key, record, stays = self._environment, self._key, self._record, self._draining or self._held
        mind_place(environment, key, self._plan, record, published=self._outbox.confirmed, held=stays)
        if stays or self._calls or self._waiters.for_outcome or self._alone.pending:
            return
        knows = self._retirement.parent_knows or record.status not in ENDS
        again = partial(self._ref.signal, Wake())
        if may_passivate(
            environment, key, record, self._outbox, self._reminders, told=told, parent_knows=knows, look_again=again
        ):
            environment.sagas.rest(key, Passivated(record.wake_at, self._outbox.confirmed, self._binding))
            self._over = True

    # ----------------------------------------------------------------- room

    def _may_write(self, record: Record) -> bool:
        """Whether the record may be written now; if not, the saga is woken when it may."""
        room, end = self._environment.room, record.status in ENDS
        if room.lets(self._key, end=end):
            return True
        room.wait(self._key, partial(self._ref.signal, Wake()), end=end)
        return False

    def _take_back(self, proposal: Proposal, error: StoreFull) -> None:
        """The server had no room for the record: what it was made of is folded again, with what comes meanwhile."""
        self._environment.room.refused(self._key, error)
        self._due = True
        self._events[:0] = self._taken_up(held_back(proposal))

    # ---------------------------------------------------------------- write

    def _write(
        self,
        record: Record,
        asked: Sequence[Ask] = (),
        base: Record | None = None,
        events: Sequence[InputEvent] = (),
        *,
        not_after: float | None = None,
    ) -> None:
        """Write what `events` have made of `base`; those whose messages are among them are told once it is durable."""
        record = stamped(record, write=self._environment.next_write())
        value = encode(record, self._unknown)
        self._proposal = None if base is None else Proposal(base, events, record, asked, len(value))
        if self._stored:
            self._environment.room.submitted(self._key, len(value) - self._stored)
        put = Put(
            key=self._key, value=value, expected=self._revision, done=self._done(), not_after=not_after,
            gives_way=self._begun,
        )  # fmt: skip
        self._operate(put, partial(self._written, record, asked, trio.current_time(), len(value)))

    def _written(
        self, record: Record, asked: Sequence[Ask], sent: float, size: int, revision: int | Entry | None
    ) -> None:
        assert isinstance(revision, int)
        self._stored = size
        self._stands(record, revision)
        self._slot.seen_at = sent
        self._environment.room.stored(self._key)
        self._reminders.rest_at = None
        self._waiters.answer_asked(asked, record)
        if not self._begun:
            self._begun = True
            self._slot.has_begun()
            if self._begin is not None:
                self._begin.send(None)
        self._perform()
        self._mind_room()
        self._waiters.answer_end(record)

    def _stands(self, record: Record, revision: int) -> None:
        """This is durable."""
        self._record, self._revision = record, revision
        self._slot.durable = Loaded(record, self._unknown)
        self._slot.wake_at = inf if record.wake_at is None else record.wake_at
        self._environment.reports.stands(self._key, record)

    def _done(self) -> Done:
        """For the next operation: tells its result to this actor, with its number."""
        self._slot.operations += 1
        return partial(_settled, self._ref, self._slot.operations)

    def _operate(self, operation: PersistenceMessage, then: Callable[[int | Entry | None], None]) -> None:
        """Hand one operation to the persistence actor; `then` is called with its result."""
        assert self._operation is None, "an operation is under way"
        self._operation, self._then = operation, then
        self._environment.persistence.tell_nowait(operation)

    # ------------------------------------------------------------ too large

    def _too_large(self, proposal: Proposal, error: TooLarge) -> None:
        """The server takes no record of this size: write a smaller one, or wait until it does."""
        callers, rest = split(proposal)
        if callers.events:
            for ask in callers.asked:
                ask.reply.send("too large")
            self._propose(proposal.base, self._fold(proposal.base, rest.events), rest.events, rest.asked)
            return
        environment, most = self._environment, most_bytes(proposal, self._environment.store.max_payload)
        before = Loaded(proposal.base, self._unknown)
        found = fitted(
            self._plan, before, rest.events, proposal.record, most, now=environment.now(), limits=environment.limits
        )
        if found is None:
            self._hold_back(proposal, error)
        else:
            _log.error("%s: its record is too large: %s; it is cut down: %s", self._key, error, found.record.dropped)
            self._unknown = found.unknown
            self._write(found.record, rest.asked, proposal.base, rest.events)

    def _hold_back(self, proposal: Proposal, error: TooLarge) -> None:
        """Nothing can be written. Not taken over either, it is looked after here: for somebody who terminates it."""
        _log.error(
            "%s: its record is too large: %s; it stays as it is until it is terminated, or the server takes larger "
            "messages",
            self._key,
            error,
        )
        base, self._held_back = proposal.base, held_back(proposal)
        if not self._begun:
            self._record, self._begun = base, True
            if self._begin is not None:
                self._begin.send(None)
        if base.outbox and base.outbox[-1].seq > self._outbox.confirmed:
            # they may be what is too large; they are durable, so they may go out whoever owns the saga
            self._outbox.publish(base)
            self._outbox.when_confirmed(base.outbox[-1].seq, partial(self._ref.signal, Wake()))

    def _taken_up(self, held: HeldBack) -> Sequence[InputEvent]:
        """What could not be written, to be tried again; those who asked go on waiting."""
        for ask in held.asked:
            self._waiters.for_verdict(ask)
        return held.events

    # -------------------------------------------------------------- perform

    def _perform(self) -> None:
        """Do what the durable record asks for and what is not under way yet."""
        if self._held_back is not None:
            return  # what the record asks for has been done, or is not this worker's to do
        asked = effects(self._plan, self._record)
        if self._calls and not self._record.halted:  # else what waits for its turn is still meant to be made
            self._calls.revoke_all_but(asked)
        for effect in asked:
            match effect:
                case Call():
                    if not self._calls.has(effect) and self._may_call():
                        self._calls.make(effect, self._record)
                case Publish():
                    self._outbox.publish(self._record)
                case WakeAt():
                    self._reminders.wake(effect.at)
                case TellParent():
                    self._retirement.tell_parent(effect)
                case Finish():
                    self._retirement.finish(effect, self._record, self._may_retire)
                case _:
                    assert_never(effect)

    def _may_call(self) -> bool:
        """Not on a lease that has lapsed since the record was seen to be ours: another may have adopted it."""
        if self._environment.lease_status.covers(self._slot.seen_at):
            return True
        if not self._lease_awaited:
            self._lease_awaited = True
            self._ctx.pipe_to_self(_lease_good, self._environment.lease_status.until_good)
        return False

    def _look_again(self) -> None:
        """See whether the saga is still ours, and go on; an operation that is under way will show it, too."""
        self._lease_awaited = False
        if self._operation is None and not self._over:
            self._operate(Load(self._key, self._done()), partial(self._looked, trio.current_time()))

    def _looked(self, at: float, entry: int | Entry | None) -> None:
        if not isinstance(entry, Entry):
            raise Fenced(self._key, f"its record is gone: expected revision {self._revision}, found nothing")
        if entry.revision == self._revision:
            self._slot.seen_at = at
            self._perform()
        elif (other := foreign(self._key, entry.value)) is not None:
            self._write_back(Overwritten(self._key, other.found, entry.revision), self._written_back)
        else:
            self._changed(entry)

    def _changed(self, entry: Entry) -> None:
        """It is a record, an end marker, or what a newer sagakit has written: not this incarnation."""
        text = f"expected revision {self._revision}, found revision {entry.revision}"
        with suppress(NewerSchema):
            if read_header(self._key, entry.value).owner == self._environment.worker_id:
                self._slot.durable = None  # older than what stands there
                raise OutOfDate(f"{self._key}: {text}")
        raise Fenced(self._key, f"another writer has it: {text}")

    def _compare(self, found: Compare) -> None:
        """What a scan saw is older than what an operation under way will show."""
        if self._operation is not None or not self._begun or self._over:
            return
        if found.revision == self._revision:
            self._slot.seen_at = max(self._slot.seen_at, found.at)
        elif found.revision > self._revision:
            self._look_again()

    # ---------------------------------------------------------- overwritten

    def _hand_in_again(
        self, operation: PersistenceMessage, then: Callable[[int | Entry | None], None], error: Overwritten
    ) -> None:
        """The same operation, in the place of what has replaced the record that it was to replace."""
        assert not isinstance(operation, Load), "a Load has nothing to replace"
        self._environment.overwritten(error, seen_at=self._slot.seen_at)
        self._operate(structs.replace(operation, expected=error.revision, done=self._done()), then)

    def _write_back(self, error: Overwritten, then: Callable[[int | Entry | None], None]) -> None:
        """Put the last durable record, byte for byte, in the place of what has replaced it. Raises Fenced."""
        last = self._slot.durable
        assert last is not None, "only what was durable can have been replaced"
        self._environment.overwritten(error, seen_at=self._slot.seen_at)
        value = encode(last.record, last.unknown)
        self._operate(Put(key=self._key, value=value, expected=error.revision, done=self._done()), then)

    def _written_back(self, revision: int | Entry | None) -> None:
        assert isinstance(revision, int)
        self._stands(self._record, revision)
        self._perform()

    # --------------------------------------------------------------- retire

    def _may_retire(self) -> None:
        """Retire now, or after the operation that is under way: a message may have come since the end."""
        self._retirement.may_retire = True
        if self._operation is None and not self._over:
            self._retire()

    def _retire(self) -> None:
        record = self._record
        retire = Retire(
            key=self._key,
            value=encode(structs.replace(record, outbox=[]), self._unknown),
            run=record.run,
            version=record.version,
            marker=marker_of(record),
            expected=self._revision,
            done=self._done(),
        )
        self._operate(retire, self._retired)

    def _retired(self, _: int | Entry | None) -> None:
        self._environment.room.submitted(self._key, -self._stored)
        self._environment.room.stored(self._key)
        self._waiters.answer(self._record)
        self._over = self._slot.accounted_for = True


def _settled(ref: Ref[SagaMessage], number: int, result: int | Entry | StoreError | None) -> None:
    ref.signal(Settled(number, result))


def _verdict(plan: Plan, limits: Limits, record: Record, message: Inbound) -> str | None:
    return verdict_of(plan, record, message, limits)


def _lease_good(_: None) -> LeaseGood:
    return LeaseGood()


def _has_open_attempts(record: Record) -> bool:
    return any(log.state in OPEN for log in record.steps.values())
