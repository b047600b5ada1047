"""The saga actor: one active saga. It holds a cache of the record, asks the engine what follows, and performs it.

    gather what has come in -> fold it into a new record -> write it -> perform its effects

Nothing is performed before the write that intends it is durable (P1). One write is in flight at a time; what comes in
meanwhile gathers for the next. The actor may be thrown away at any moment: the next incarnation loads the record and
takes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from logging import getLogger
from math import inf
from typing import Literal, assert_never

import trio
from msgspec import structs
from sagakit_actors import Down, Reactor, ReactorContext, Ref, Reply

from sagakit.engine import (
    ENDS,
    Adopted,
    Call,
    Ended,
    Finish,
    GaveUp,
    Inbound,
    InputEvent,
    Isolated,
    Loaded,
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
    makes_room,
    marker_of,
    questions,
    stamped,
)
from sagakit.engine.table import OPEN
from sagakit.errors import Conflict, Fenced, SagakitError, StoreError, StoreFull
from sagakit.store.ports import Entry
from sagakit.system.calls import Calls
from sagakit.system.ending import Ending
from sagakit.system.life import SagaLife
from sagakit.system.messages import (
    Ask,
    AskAlone,
    Attempted,
    AwaitOutcome,
    AwaitQuiet,
    ChildrenReleased,
    Compare,
    Done,
    DoneAlone,
    Drain,
    LeaseGood,
    Load,
    ParentTold,
    Peek,
    PersistenceMessage,
    Put,
    Rest,
    Retire,
    RunAlone,
    SagaMessage,
    Settled,
    Started,
    Wake,
)
from sagakit.system.origin import Fresh, GiveUp, Reload, Rested, Resting, Stored
from sagakit.system.outbox import Outbox
from sagakit.system.reminders import Reminders
from sagakit.system.services import Services
from sagakit.system.waiting import Waiting, answer_asked

_log = getLogger("sagakit")


class OutOfDate(SagakitError):
    """What this incarnation remembers is not what stands in the bucket: begin anew."""


class SagaActor(Reactor[SagaMessage]):
    """One incarnation. Ends when the end marker stands, or when the record turns out to be another worker's."""

    _ctx: ReactorContext[SagaMessage]
    _ref: Ref[SagaMessage]
    _reminders: Reminders
    _calls: Calls
    _ending: Ending
    _record: Record
    """The last durable record; there is none before the first write is."""

    def __init__(self, services: Services, life: SagaLife) -> None:
        self._services = services
        self._life = life
        self._binding = life.binding
        self._plan = life.binding.plan
        self._key = key = life.key
        self._origin = origin = life.next_origin()
        self._unknown: UnknownFields | None = None
        self._revision = 0
        self._size = self._stored = 0
        """Bytes of the record as it was last handed in, and as it is stored; 0 if that is not known."""
        self._folded: tuple[list[InputEvent], Sequence[Ask]] = ([], ())
        """What the write that is in flight has taken in."""
        self._begun = False
        self._draining = services.sagas.draining
        self._over = False
        # what came in and is not folded yet; who waits for what
        self._events: list[InputEvent] = []
        self._begin: Reply[None] | None = None
        self._waiting = Waiting()
        # what is under way
        self._operation: PersistenceMessage | None = None
        self._then: Callable[[int | Entry | None], None] | None = None
        confirmed = origin.confirmed if isinstance(origin, Rested) else 0
        self._outbox = Outbox(services.publisher, key, confirmed=confirmed)
        self._intended_at = inf
        """When the last write, or look, that shows this worker to be the owner was begun (trio's time)."""
        self._lease_awaited = False
        self._held = False
        self._alone: Literal["", "asked", "granted"] = ""
        self._rests = False
        self._due = False

    def begin(self, ctx: ReactorContext[SagaMessage]) -> None:
        """Write the first record, or the adoption; a later incarnation looks for its record."""
        self._ctx = ctx
        self._ref = ctx.ref
        self._reminders = Reminders(self._services.timers, ctx.ref)
        self._calls = Calls(ctx, self._binding, self._services)
        self._ending = Ending(ctx, self._services, self._outbox)
        ctx.watch(self._services.publisher)
        ctx.watch(self._services.persistence)
        ctx.watch(self._services.timers)
        ctx.watch(self._services.isolation)
        match self._origin:
            case Fresh(record=record, not_after=not_after):
                self._begin = self._life.begun = ctx.promise()
                self._write(self._answered(record), not_after=None if not_after == inf else not_after)
            case Stored(loaded=loaded, revision=revision):
                self._begin = self._life.begun = ctx.promise()
                self._take_over(loaded, revision)
            case Reload() | GiveUp() | Rested():
                self._operate(Load(self._key, self._done()), self._loaded)
            case _:
                assert_never(self._origin)

    def react(self, messages: list[SagaMessage | Down]) -> bool:
        """Take what has come in, fold, write, perform."""
        try:
            for message in messages:
                self._take(message)
            self._advance()
        except Fenced as error:
            self._services.fenced(error)
            self._waiting.fail(error)
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
                self._waiting.for_end(message)
            case Started() | Peek():
                self._waiting.for_record(message.reply)
            case Ask():
                self._on_ask(message)
            case Wake():
                self._reminders.woken(message, self._services.now())
                self._due = True
            case Rest():
                self._rests = True
            case ParentTold():
                self._ending.parent_knows = True
                if not message.there:
                    self._events.append(Inbound(id=f"{self._record.run}.orphan", kind="release"))
            case ChildrenReleased():
                self._retire()
            case Down():
                self._on_down(message)
            case Compare():
                self._compare(message)
            case RunAlone():
                self._alone = "granted"
                self._events.append(Isolated())
            case AwaitQuiet():
                self._waiting.for_quiet(message.reply)
            case LeaseGood():
                self._look_again()
            case Drain():
                self._draining = True
            case _:
                assert_never(message)

    def _on_ask(self, ask: Ask) -> None:
        self._waiting.for_verdict(ask)
        self._events.append(structs.replace(ask.message, refused=self._binding.refuses(ask.message)))

    def _on_down(self, notice: Down) -> None:
        """An actor of the system was lost: hand in again what it has not answered."""
        services = self._services
        if notice.ref is services.persistence:
            if self._operation is not None:
                services.persistence.tell_nowait(self._operation)
        elif notice.ref is services.publisher:
            if self._begun:
                self._outbox.publish_again(self._record)
                self._mind_room()
        elif notice.ref is services.isolation:
            self._alone = ""
        else:
            self._reminders.again()

    def _on_settled(self, settled: Settled) -> None:
        if settled.number != self._life.operations or self._operation is None:
            return  # the answer of a persistence actor that was lost meanwhile, or to the incarnation before
        self._operation = None
        then, self._then = self._then, None
        assert then is not None
        if not isinstance(settled.result, StoreError):
            then(settled.result)
        elif isinstance(settled.result, StoreFull) and self._begun:
            self._take_back(settled.result)
        elif self._begun or self._begin is None:
            raise settled.result
        else:
            self._begin.fail(settled.result)
            self._life.accounted_for = isinstance(settled.result, Conflict)
            self._over = True

    # ---------------------------------------------------------------- begin

    def _loaded(self, entry: int | Entry | None) -> None:
        """This worker's own record, after a rest, or after a crash of the incarnation before."""
        found = decode(self._key, entry.value) if isinstance(entry, Entry) else None
        self._size = self._stored = len(entry.value) if isinstance(entry, Entry) else 0
        ours = isinstance(found, Loaded) and found.record.owner == self._services.worker_id
        if not isinstance(found, Loaded) or not isinstance(entry, Entry) or not ours:
            self._over = self._life.accounted_for = True  # it never came to be, has ended, or is another worker's
            if isinstance(self._origin, Rested) and found is None:
                _log.warning("%s: its record is gone, removed from outside; nothing of it is undone", self._key)
        elif isinstance(self._origin, Rested) and not _has_open_attempts(found.record):
            self._go_on(found, entry.revision)
        else:
            self._take_over(found, entry.revision)

    def _go_on(self, loaded: Loaded, revision: int) -> None:
        """After a rest nothing was under way: there is nothing to take over."""
        self._unknown = loaded.unknown
        self._stands(loaded.record, revision)
        self._begun = self._due = True
        self._intended_at = trio.current_time()
        self._perform()

    def _take_over(self, loaded: Loaded, revision: int) -> None:
        services = self._services
        self._unknown = loaded.unknown
        self._revision = revision
        events: list[InputEvent] = [Adopted(services.worker_id, services.random())]
        if isinstance(self._origin, GiveUp):
            events.append(GaveUp(self._origin.error))
        self._write(self._fold(loaded.record, events))

    # ----------------------------------------------------------------- turn

    def _advance(self) -> None:
        """Fold what has gathered, unless a write is in flight; answer those whose answer is known."""
        if self._operation is not None or self._over or not self._begun:
            return
        if self._lease_awaited:  # an attempt is intended and not called yet: nothing may overtake it
            self._mind_drain()
            return
        record = self._record
        if self._events or self._due:
            published = [Published(self._outbox.confirmed)] if self._outbox.confirmed else []
            record = self._fold(record, [*self._events, *published])
            if record is not self._record and not self._may_write(record):
                return
            events, self._events, self._due = self._events, [], False
            for event in events:
                if isinstance(event, Ended):
                    self._calls.ended(event.step)
            self._folded = events, self._waiting.take_asked() if record is not self._record else ()
        if record is not self._record:
            self._write(record, self._folded[1])
        else:
            self._waiting.answer(record)
            self._mind_isolation()
            self._mind_drain()
            self._mind_rest()

    def _fold(self, record: Record, events: Sequence[InputEvent]) -> Record:
        services = self._services
        now = services.now()
        self._held = not services.gate.admits(self._ref)
        hold = self._draining or self._held
        return self._answered(apply(self._plan, record, events, now, limits=services.limits, hold=hold))

    def _answered(self, record: Record) -> Record:
        """Answer the engine's questions: functions without effects, so no write need come before them."""
        services = self._services
        while not self._draining and not self._held and (asked := questions(self._plan, record)):
            answers = [self._binding.answer(question, record) for question in asked]
            record = apply(self._plan, record, answers, services.now(), limits=services.limits)
        return record

    def _mind_drain(self) -> None:
        """A draining saga is left to the next owner once nothing is open, unless it is about to be over."""
        waits = self._record.status not in ENDS or self._ending.awaits_release
        if self._draining and not self._calls and waits and not self._over:
            self._services.sagas.let_go()
            self._over = True

    def _mind_isolation(self) -> None:
        """Ask for a turn alone, and give it back; let those go on who wait until nothing is under way here."""
        record = self._record
        if self._alone == "granted" and not record.alone:
            self._alone = ""
            self._services.isolation.tell_nowait(DoneAlone(self._ref))
        if self._alone == "" and awaits_isolation(self._plan, record, self._services.now()) and not self._draining:
            self._alone = "asked"
            self._services.isolation.tell_nowait(AskAlone(self._ref))
        if not self._calls:
            self._waiting.quiet()

    def _mind_room(self) -> None:
        """While attempts are held back for want of room in the outbox: look again once half of it is in the log."""
        seq = makes_room(self._record, self._services.limits)
        if seq is not None:
            self._outbox.when_confirmed(seq, partial(self._ref.signal, Wake()))

    def _mind_rest(self) -> None:
        """A saga that has nothing to do for a while gives up its actor (DESIGN 7)."""
        rests, self._rests = self._rests, False
        busy = self._calls or self._ending.has_begun or self._waiting.for_outcome or self._held or self._alone
        if self._over or self._draining or busy:
            return
        now, wake_at = self._services.now(), self._record.wake_at
        if wake_at is not None and wake_at < now + self._services.config.rest_after:
            return
        rest_at, self._reminders.rest_at = self._reminders.rest_at, None
        if rest_at is not None and rest_at > now:
            self._reminders.rest_at = rest_at
        elif rest_at is not None and rests and self._may_rest():
            self._services.sagas.rest(self._key, Resting(wake_at, self._outbox.confirmed, self._binding))
            self._over = True
        else:
            self._reminders.rest(now + self._services.config.rest_after)

    def _may_rest(self) -> bool:
        return self._outbox.is_out and (self._ending.parent_knows or self._record.status not in ENDS)

    # ----------------------------------------------------------------- room

    def _may_write(self, record: Record) -> bool:
        """Whether the record may be written now; if not, the saga is woken when it may."""
        room, end = self._services.room, record.status in ENDS
        if room.lets(self._key, end=end):
            return True
        room.wait(self._key, partial(self._ref.signal, Wake()), end=end)
        return False

    def _take_back(self, error: StoreFull) -> None:
        """The server had no room for the record: what it was made of is folded again, with what comes meanwhile."""
        self._services.room.refused(self._key, error)
        events, asked = self._folded
        self._events, self._due = [*events, *self._events], True
        for ask in asked:
            self._waiting.for_verdict(ask)

    # ---------------------------------------------------------------- write

    def _write(self, record: Record, asked: Sequence[Ask] = (), *, not_after: float | None = None) -> None:
        """Write it; those whose messages are folded into it are told once it is durable."""
        record = stamped(record, write=self._services.next_write())
        value = encode(record, self._unknown)
        if self._stored:
            self._services.room.submitted(self._key, len(value) - self._stored)
        self._size = len(value)
        put = Put(
            key=self._key, value=value, expected=self._revision, done=self._done(), not_after=not_after,
            gives_way=self._begun,
        )  # fmt: skip
        self._operate(put, partial(self._written, record, asked, trio.current_time()))

    def _written(self, record: Record, asked: Sequence[Ask], sent: float, revision: int | Entry | None) -> None:
        assert isinstance(revision, int)
        self._stands(record, revision)
        self._folded, self._stored = ([], ()), self._size
        self._services.room.stored(self._key)
        self._intended_at = sent
        self._reminders.rest_at = None
        answer_asked(asked, record)
        if not self._begun:
            self._begun = True
            self._life.has_begun()
            if self._begin is not None:
                self._begin.send(None)
        self._perform()
        self._mind_room()
        self._waiting.answer_end(record)

    def _stands(self, record: Record, revision: int) -> None:
        """This is durable."""
        self._record, self._revision = record, revision
        self._life.wake_at = inf if record.wake_at is None else record.wake_at

    def _done(self) -> Done:
        """For the next operation: tells its result to this actor, with its number."""
        self._life.operations += 1
        return partial(_settled, self._ref, self._life.operations)

    def _operate(self, operation: PersistenceMessage, then: Callable[[int | Entry | None], None]) -> None:
        """Hand one operation to the persistence actor; `then` is called with its result."""
        self._operation, self._then = operation, then
        self._services.persistence.tell_nowait(operation)

    # -------------------------------------------------------------- perform

    def _perform(self) -> None:
        """Do what the durable record asks for and what is not under way yet."""
        asked = effects(self._plan, self._record)
        if self._calls:
            self._calls.withdraw_all_but(asked)
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
                    self._ending.tell_parent(effect)
                case Finish():
                    self._ending.finish(effect, self._record, self._retire)
                case _:
                    assert_never(effect)

    def _may_call(self) -> bool:
        """Not on a lease that has lapsed since the record was seen to be ours: another may have adopted it."""
        if self._services.standing.covers(self._intended_at):
            return True
        if not self._lease_awaited:
            self._lease_awaited = True
            self._ctx.pipe_to_self(_lease_good, self._services.standing.until_good)
        return False

    def _look_again(self) -> None:
        """See whether the saga is still ours, and go on; an operation that is under way will show it, too."""
        self._lease_awaited = False
        if self._operation is None and not self._over:
            self._operate(Load(self._key, self._done()), partial(self._looked, trio.current_time()))

    def _looked(self, at: float, entry: int | Entry | None) -> None:
        found = entry.revision if isinstance(entry, Entry) else 0
        if found != self._revision:
            raise Fenced(self._key, f"expected revision {self._revision}, found {found}, after the lease had lapsed")
        self._intended_at = at
        self._perform()

    def _compare(self, found: Compare) -> None:
        """What a scan saw is older than what an operation under way will show."""
        if self._operation is not None or not self._begun or self._over:
            return
        if found.revision > self._revision:
            if found.owner != self._services.worker_id:
                raise Fenced(self._key, f"worker {found.owner} has it")
            raise OutOfDate(f"{self._key}: revision {found.revision} stands there, {self._revision} is known here")

    # --------------------------------------------------------------- retire

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
        self._services.room.submitted(self._key, -self._size)
        self._services.room.stored(self._key)
        self._waiting.answer(self._record)
        self._over = self._life.accounted_for = True


def _settled(ref: Ref[SagaMessage], number: int, result: int | Entry | StoreError | None) -> None:
    ref.signal(Settled(number, result))


def _lease_good(_: None) -> LeaseGood:
    return LeaseGood()


def _has_open_attempts(record: Record) -> bool:
    return any(log.state in OPEN for log in record.steps.values())
