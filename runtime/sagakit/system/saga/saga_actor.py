"""The saga actor: one active saga. It caches the record, asks the engine what follows, and performs that.

    gather what has come in -> fold it into a new record -> write it -> perform its effects

Nothing is performed before the write that intends it is durable (P1). One write is under way at a time; what comes in
meanwhile is gathered for the next one. The actor may be thrown away at any moment: the next incarnation loads the
record and takes it over. The phases of an incarnation are in `sagakit.system.saga.phase`.
"""

from __future__ import annotations

from functools import cached_property
from logging import getLogger
from typing import assert_never

from sagakit_actors import Down, Reactor, ReactorContext

from sagakit.engine import (
    ENDS,
    Adopted,
    AttemptEnded,
    Call,
    Finish,
    GaveUp,
    InputEvent,
    Isolated,
    Loaded,
    MindSilence,
    Orphaned,
    Publish,
    Published,
    Record,
    SendCommand,
    TellParent,
    WakeAt,
    effects,
    makes_room,
)
from sagakit.errors import Fenced
from sagakit.system.environment import Environment
from sagakit.system.saga.activation import Fresh, GiveUp, Passivated, Reactivate, TakeOver, has_open_attempts
from sagakit.system.saga.alone import Alone
from sagakit.system.saga.calls import Calls
from sagakit.system.saga.folding import Folding
from sagakit.system.saga.journal import Journal
from sagakit.system.saga.outbox import Outbox
from sagakit.system.saga.passivation import Passivation
from sagakit.system.saga.phase import PhaseOf
from sagakit.system.saga.reminders import Reminders
from sagakit.system.saga.remote_calls import RemoteCalls
from sagakit.system.saga.retirement import Retirement
from sagakit.system.saga.saga_messages import (
    Ask,
    AskStarted,
    Attempted,
    AwaitOutcome,
    AwaitQuiet,
    ChildrenReleased,
    Compare,
    Drain,
    LeaseGood,
    ParentTold,
    Passivate,
    Peek,
    RemoteNews,
    RunAlone,
    SagaMessage,
    Settled,
    ValuesLoaded,
    Wake,
)
from sagakit.system.saga.slot import SagaSlot
from sagakit.system.saga.values_loading import ValuesLoading
from sagakit.system.saga.waiters import Waiters
from sagakit.system.saga.writes import Writes

_log = getLogger("sagakit")


class SagaActor(Reactor[SagaMessage]):
    """An incarnation of a saga's actor. Ends when the end marker is written, or when the record is another worker's."""

    def __init__(self, environment: Environment, slot: SagaSlot) -> None:
        self._environment = environment
        self._slot = slot
        self._binding = slot.binding
        self._plan = slot.binding.plan
        self._key = slot.key
        self._phase = PhaseOf(slot.key)
        self._activation = activation = slot.next_activation()
        self._waiters = Waiters(self._plan, environment.limits)
        published = activation.published if type(activation) is Reactivate else Published(0)
        in_doubt = type(activation) is not Fresh and type(activation) is not Reactivate
        self._outbox = Outbox(environment, slot.key, published, in_doubt=in_doubt)

    def begin(self, ctx: ReactorContext[SagaMessage]) -> None:
        """Write the first record, or the adoption. A later incarnation looks for its record."""
        self._assemble(ctx)
        activation = self._activation
        if type(activation) is Fresh:
            self._writes.promise(ctx.promise())
            self._writes.create(activation)
        elif type(activation) is TakeOver:
            self._writes.promise(ctx.promise())
            self._take_over(activation.loaded, activation.revision)
        else:  # this worker's own record
            kept = activation.kept if type(activation) is Reactivate else None
            self._values = ValuesLoading(ctx, self._environment, self._slot, self._phase)
            self._journal.load(self._values.before(self._loaded), self._gone, kept)

    def _assemble(self, ctx: ReactorContext[SagaMessage]) -> None:
        """Make the parts that need the actor's context. Those that few sagas use are made when they are first used."""
        environment, slot, ref, waiters = self._environment, self._slot, ctx.ref, self._waiters
        self._ctx = ctx
        self._journal = journal = Journal(environment, slot, ref)
        self._folding = folding = Folding(environment, slot, ref)
        self._writes = Writes(environment, slot, ref, self._phase, journal, folding, waiters, self._outbox)
        self._alone = Alone(environment.isolation, ref, ctx.incarnation)
        self._calls = Calls(ctx, environment, slot)
        self._retirement = Retirement(ctx, environment, self._outbox)

    @cached_property
    def _reminders(self) -> Reminders:
        return Reminders(self._environment.timers, self._ctx.ref)

    @cached_property
    def _passivation(self) -> Passivation:
        return Passivation(self._environment, self._slot, self._writes.wake, self._outbox, self._reminders)

    @cached_property
    def _remote(self) -> RemoteCalls:
        return RemoteCalls(self._ctx, self._environment, self._slot, self._reminders)

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
        return self._phase.now != "over"

    # ---------------------------------------------------------- what comes in

    def _take(self, message: SagaMessage | Down) -> None:
        if type(message) is Settled:
            if (written := self._writes.settled(message)) is not None:
                self._written(written)
        elif type(message) is Attempted:
            # the call counts as under way until this is folded, so that nothing is called twice
            self._writes.events.append(message.ended)
        elif type(message) is AwaitOutcome:
            self._waiters.for_end(message)
        elif type(message) is ChildrenReleased:
            self._may_retire()
        elif type(message) is ValuesLoaded:
            self._values.take(message)
        elif type(message) is AskStarted or type(message) is Peek:
            self._waiters.for_record(message.reply)
            if self._phase.now == "running" and type(message) is AskStarted:
                self._look()  # the record may have been removed from outside: then the id is free
        elif type(message) is Ask:
            self._waiters.for_verdict(message)
            self._writes.events.append(self._binding.taken(message.message, self._key))
            if self._phase.now == "running" and self._journal.may_be_lost(message.message.run):
                self._look()  # else a message that changes nothing would be lost on the saga's next owner
        elif type(message) is Wake:
            self._reminders.woken(message, self._environment.now())
            self._writes.due = True
        elif type(message) is Passivate:
            self._passivation.told()
        elif type(message) is RemoteNews:
            self._writes.events.extend(self._remote.heard(message))
        elif type(message) is ParentTold:
            self._retirement.parent_knows = True
            if not message.there:
                self._writes.events.append(Orphaned())
        elif isinstance(message, Down):
            self._on_down(message)
        elif type(message) is Compare:
            if self._phase.now not in ("opening", "over") and self._journal.is_behind(message.revision, message.at):
                self._look()
        elif type(message) is RunAlone:
            if self._alone.granted(message):
                self._environment.sagas.places.seize(self._key)
                self._writes.events.append(Isolated())
        elif type(message) is AwaitQuiet:
            self._waiters.for_quiet(message.reply)
        elif type(message) is LeaseGood:
            self._look()
        elif type(message) is Drain:
            pass  # the table of sagas says so; this is the turn in which to heed it
        else:
            assert_never(message)

    def _on_down(self, notice: Down) -> None:
        """Hand in again what a lost actor of the worker has not answered."""
        environment = self._environment
        if notice.ref is environment.persistence:
            self._journal.hand_in_again()
        elif notice.ref is environment.publisher:
            if self._phase.now != "opening":
                self._outbox.publish_again(self._journal.record)
                self._mind_room()
        elif notice.ref is environment.isolation:
            self._alone.isolation_lost()
        else:
            self._reminders.again()

    # ---------------------------------------------------------------- begin

    def _loaded(self, loaded: Loaded, revision: int) -> None:
        """Go on with this worker's own record, after passivation or after a crash of the incarnation before."""
        if not isinstance(self._activation, Reactivate) or has_open_attempts(loaded.record):
            self._take_over(loaded, revision)
            return
        # nothing was under way while the saga was passivated: there is nothing to take over
        self._journal.unknown = loaded.unknown
        self._journal.became_durable(loaded.record, revision)
        if self._plan.has_commands:
            self._remote.known(loaded.record)
        self._phase.move("durable")
        self._writes.due = True
        self._perform()

    def _gone(self, nothing: bool) -> None:
        """End: this worker has no record of the saga that it could go on with."""
        if nothing and isinstance(self._activation, Reactivate):
            _log.warning("%s: its record is gone, removed from outside; nothing of it is undone", self._key)
        self._phase.move("end")

    def _take_over(self, loaded: Loaded, revision: int) -> None:
        """Adopt a record. One that was written only once may have been created too late, by a worker that died then."""
        if loaded.record.version > 1:
            self._adopt(loaded, revision)
        else:
            self._journal.confirm(loaded, revision, lambda: self._adopt(loaded, revision))

    def _adopt(self, loaded: Loaded, revision: int) -> None:
        environment = self._environment
        self._journal.unknown, self._journal.revision = loaded.unknown, revision
        events: list[InputEvent] = [Adopted(environment.worker_id, environment.random())]
        if isinstance(self._activation, GiveUp):
            events.append(GaveUp(self._activation.error))
        self._writes.propose(loaded.record, self._folding.fold(loaded.record, events), events, ())

    # ----------------------------------------------------------------- turn

    def _advance(self) -> None:
        """Fold what has gathered, unless a write is under way; answer the callers whose answer is known."""
        if self._journal.operation is not None:
            return
        phase = self._phase.now
        if phase == "running" or phase == "held back":
            if (self._writes.events or self._writes.due) and self._fold_gathered():
                return
            self._rest_of_turn()
        elif phase == "retiring":
            self._journal.retire(self._outbox.published, self._retired)
        elif phase == "awaiting lease":
            self._mind_drain()

    def _fold_gathered(self) -> bool:
        """Fold what has come in, and write what follows. Return True if that is under way, or has to wait for room."""
        record, writes, published = self._journal.record, self._writes, self._outbox.published
        gathered = writes.gather()
        events = [*gathered, published] if published.seq else gathered
        proposed = self._folding.fold(record, events)
        if proposed is not record and not writes.may_write(proposed):
            self._mind_drain()
            return True
        for event in gathered:
            if isinstance(event, AttemptEnded):
                self._calls.ended(event.step)
                self._environment.reports.folded(self._key, event, proposed)
        writes.events, writes.due = [], False
        return writes.propose(record, proposed, events, self._waiters.take_asked())

    def _rest_of_turn(self) -> None:
        """Do what is done while nothing is to be written."""
        record, held_back = self._journal.record, self._phase.now == "held back"
        if held_back:
            self._waiters.answer_looking(record)
        else:
            self._waiters.answer(record)
            self._alone.mind(self._plan, record, self._environment)
        at_work = self._calls.at_work()
        if not at_work:
            self._waiters.quiet()
            self._mind_drain()
        if held_back or self._phase.now == "over":
            return
        if self._plan.has_commands:
            self._remote.mind_overdue(record)
        if not at_work and not self._retirement.has_begun:
            self._mind_passivation(record)

    def _mind_drain(self) -> None:
        """Leave a draining saga to the next owner once no attempt is open, unless it is about to be over."""
        sagas = self._environment.sagas
        if not sagas.draining or self._calls.at_work():
            return
        if self._journal.record.status not in ENDS or self._retirement.awaits_release:
            sagas.let_go()
            self._phase.move("end")

    def _mind_room(self) -> None:
        """While attempts are held back for want of room in the outbox: look again once half of it is in the log."""
        if (seq := makes_room(self._journal.record, self._environment.limits)) is not None:
            self._outbox.when_confirmed(seq, self._writes.wake)

    def _mind_passivation(self, record: Record) -> None:
        """Let others have the place while nothing is under way; end the actor if that lasts."""
        told = self._passivation.take_told()
        stays = self._folding.must_stay()
        self._passivation.mind_place(record, held=stays)
        if stays or self._calls or self._waiters.for_outcome or self._alone.pending:
            return
        if self._plan.has_commands and self._remote.busy:
            return
        knows = self._retirement.parent_knows or record.status not in ENDS
        if self._passivation.may_end(record, told=told, parent_knows=knows):
            passivated = Passivated(record.wake_at, self._outbox.published, self._binding, record.status)
            self._environment.sagas.passivate(self._key, passivated, self._journal.kept())
            self._phase.move("end")

    # -------------------------------------------------------------- perform

    def _written(self, record: Record) -> None:
        """Go on after a write that is durable."""
        self._perform()
        self._mind_room()
        self._waiters.answer_end(record)

    def _perform(self) -> None:
        """Do what the durable record asks for and what is not under way yet."""
        if self._phase.now == "held back":
            return  # what the record asks for has been done, or is not this worker's to do
        record, values = self._journal.record, self._slot.values
        asked = effects(self._plan, record if values is None else values.fill(record))
        if not record.halted:  # a halted saga still wants the calls that wait for their turn
            self._calls.revoke_all_but(asked)
        for effect in asked:
            if type(effect) is Publish:
                self._outbox.publish(record)
            elif type(effect) is Call:
                if not self._calls.has(effect) and self._may_call():
                    self._calls.make(effect, record)
            elif type(effect) is Finish:
                self._retirement.finish(effect, record)
            elif type(effect) is WakeAt:
                self._reminders.wake(effect.at)
            elif type(effect) is SendCommand:
                if self._may_call():
                    self._remote.send(effect, record)
            elif type(effect) is MindSilence:
                pass  # minded below, all at once
            elif type(effect) is TellParent:
                self._retirement.tell_parent(effect)
            else:
                assert_never(effect)
        if self._plan.has_commands:
            self._remote.mind_silence(asked, record)

    def _may_call(self) -> bool:
        """Return False if the lease has lapsed since the record was seen to be this worker's: another may have it."""
        if self._environment.lease_status.covers(self._slot.seen_at):
            return True
        if self._phase.now != "awaiting lease":
            self._phase.move("lapse")
            self._ctx.pipe_to_self(lambda _: LeaseGood(), self._environment.lease_status.until_good)
        return False

    def _look(self) -> None:
        """See whether the saga is still this worker's, and go on. An operation that is under way shows that, too."""
        if self._phase.now != "over":
            self._phase.move("look")
            if self._journal.operation is None:
                self._journal.look(self._perform)

    # --------------------------------------------------------------- retire

    def _may_retire(self) -> None:
        """Retire now, or after the operation that is under way: a message may have come since the end."""
        # the answer to the incarnation before may come late; this one has its children released again
        if self._retirement.has_begun and self._phase.now != "over":
            self._phase.move("retire")
            if self._journal.operation is None:
                self._journal.retire(self._outbox.published, self._retired)

    def _retired(self) -> None:
        self._waiters.answer(self._journal.record)
        self._phase.move("end")
