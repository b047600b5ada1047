"""The writes of one saga: events are gathered, proposed as the next record, and held back if the server refuses it.

A record that has become too large is written in a smaller form, as `sagakit.system.saga.proposal` says. A record for
which the buckets have no room is folded again once they have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from logging import getLogger
from math import inf

from sagakit_actors import Ref, Reply

from sagakit.engine import ENDS, InputEvent, Loaded, Record
from sagakit.engine.oversize import fitted
from sagakit.errors import Conflict, StoreError, StoreFull, TooLarge, Undecodable
from sagakit.system.environment import Environment
from sagakit.system.saga.activation import Fresh
from sagakit.system.saga.folding import Folding
from sagakit.system.saga.journal import Journal
from sagakit.system.saga.outbox import Outbox
from sagakit.system.saga.phase import PhaseOf
from sagakit.system.saga.proposal import NOTHING, HeldBack, Proposal, held_back, most_bytes, split
from sagakit.system.saga.saga_messages import Ask, SagaMessage, Settled, Wake
from sagakit.system.saga.slot import SagaSlot
from sagakit.system.saga.waiters import Waiters

_log = getLogger("sagakit")


class Writes:
    """Belongs to one incarnation of a saga's actor. Nothing here leads back to it, so both are freed when it ends."""

    __slots__ = (
        "_begin", "_environment", "_folding", "_held_back", "_journal", "_key", "_outbox", "_phase", "_proposal",
        "_ref", "_slot", "_waiters", "_written", "due", "events",
    )  # fmt: skip

    def __init__(
        self,
        environment: Environment,
        slot: SagaSlot,
        ref: Ref[SagaMessage],
        phase: PhaseOf,
        journal: Journal,
        folding: Folding,
        waiters: Waiters,
        outbox: Outbox,
    ) -> None:
        self._environment = environment
        self._slot = slot
        self._key = slot.key
        self._phase = phase
        self._journal = journal
        self._folding = folding
        self._waiters = waiters
        self._outbox = outbox
        self._ref = ref
        self.events: list[InputEvent] = []
        """Events that have come in and are not folded yet."""
        self.due: bool = False
        """True if a turn is owed although no event has come: for a timer, a place or room."""
        self._begin: Reply[None] | None = None
        self._proposal: Proposal | None = None
        """The write that is under way, unless it is the first one of a new saga."""
        self._held_back = NOTHING
        self._written: Record | None = None
        """The record that the operation which is being settled has made durable."""

    @property
    def wake(self) -> Callable[[], None]:
        """A function that gives the saga a turn, soon. It does not lead back to this incarnation."""
        return partial(self._ref.signal, Wake())

    # ---------------------------------------------------------------- begin

    def promise(self, begun: Reply[None]) -> None:
        """Have `begun` answered once the first write is durable, or with why it failed."""
        self._begin = self._slot.begun = begun

    def create(self, fresh: Fresh) -> None:
        """Write the first record of a new saga."""
        not_after = None if fresh.not_after == inf else fresh.not_after
        record = self._folding.create(fresh.create)
        self._journal.write(record, self._durable, gives_way=False, not_after=not_after)

    def _begun(self) -> None:
        begin, self._begin = self._begin, None
        if begin is not None:
            begin.send(None)

    def _begin_failed(self, begin: Reply[None], error: StoreError) -> None:
        begin.fail(error)
        self._slot.accounted_for = isinstance(error, Conflict | Undecodable)
        self._phase.move("end")

    # ---------------------------------------------------------------- write

    def gather(self) -> list[InputEvent]:
        """Return the events that have come in, after those that were held back before."""
        if self._phase.now == "held back":
            self._take_up(self._held_back)
            self._held_back = NOTHING
        return self.events

    def may_write(self, record: Record) -> bool:
        """Return True if the buckets have room for the record; if not, the saga is woken when they have."""
        room, end = self._environment.room, record.status in ENDS
        if not room.limited or room.lets(self._key, end=end):
            return True
        room.wait(self._key, self.wake, end=end)
        return False

    def propose(self, base: Record, record: Record, events: Sequence[InputEvent], asked: Sequence[Ask]) -> bool:
        """Write what `events` have made of `base`; the callers in `asked` are answered once it is durable.

        If nothing has come of the events, answer the callers now, and return False.
        """
        if record is not base:
            self._write(base, record, events, asked)
            return True
        if self._phase.now == "held back":
            self._phase.move("durable")  # nothing is left that was held back
        self._waiters.answer_asked(asked, base)
        return False

    def _write(self, base: Record, record: Record, events: Sequence[InputEvent], asked: Sequence[Ask]) -> None:
        adopts = self._phase.now == "opening"  # of several adopters all but one meet a conflict
        size = self._journal.write(record, self._durable, gives_way=not adopts, alone=adopts)
        self._proposal = Proposal(base, events, record, asked, size)

    def _durable(self, record: Record) -> None:
        first = self._phase.now == "opening"
        self._phase.move("durable")
        proposal, self._proposal = self._proposal, None
        if proposal is None:
            self._environment.written(None, record)
        else:
            self._environment.written(proposal.base, record)
            if proposal.asked:
                self._waiters.answer_asked(proposal.asked, record)
        if first:
            self._slot.has_begun()
            self._begun()
        self._written = record

    # -------------------------------------------------------------- refused

    def settled(self, settled: Settled) -> Record | None:
        """Go on after the journal's operation; return the record if it has made one durable.

        Raises the StoreError that the operation ended with, unless it is dealt with here.
        """
        error = self._journal.settled(settled, replaces=self._begin is None)
        if error is not None:
            self._refused(error)
            return None
        written, self._written = self._written, None
        return written

    def _refused(self, error: StoreError) -> None:
        begin, proposal, self._proposal = self._begin, self._proposal, None
        if isinstance(error, TooLarge) and proposal is not None:
            self._too_large(proposal, error)
        elif isinstance(error, StoreFull) and proposal is not None and self._phase.now != "opening":
            self._no_room(proposal, error)
        elif begin is not None:
            self._begin_failed(begin, error)
        else:
            raise error

    def _no_room(self, proposal: Proposal, error: StoreFull) -> None:
        """Fold the events of a record again that the server had no room for, with what has come meanwhile."""
        self._environment.room.refused(self._key, error)
        self.due = True
        self._take_up(held_back(proposal))

    def _take_up(self, held: HeldBack) -> None:
        """Gather again what could not be written. The callers go on waiting."""
        for ask in held.asked:
            self._waiters.for_verdict(ask)
        self.events[:0] = held.events

    def _too_large(self, proposal: Proposal, error: TooLarge) -> None:
        """Write a smaller record in place of one that is too large, or hold all back until the server takes it."""
        base = proposal.base
        callers, rest = split(proposal)
        if callers.events:
            for ask in callers.asked:
                ask.reply.send("too large")
            self.propose(base, self._folding.fold(base, rest.events), rest.events, rest.asked)
            return
        environment, journal = self._environment, self._journal
        most = most_bytes(proposal, environment.store.max_payload)
        found = fitted(
            self._slot.binding.plan,
            Loaded(base, journal.unknown),
            rest.events,
            proposal.record,
            most,
            now=environment.now(),
            limits=environment.limits,
        )
        if found is None:
            self._hold_back(proposal, error)
        else:
            _log.error("%s: its record is too large: %s; it is cut down: %s", self._key, error, found.record.dropped)
            journal.unknown = found.unknown
            self._write(base, found.record, rest.events, rest.asked)

    def _hold_back(self, proposal: Proposal, error: TooLarge) -> None:
        """Keep everything as it is. The actor stays even if it could not adopt the saga: a person can terminate it."""
        _log.error(
            "%s: its record is too large: %s; it stays as it is until it is terminated, or the server takes larger "
            "messages",
            self._key,
            error,
        )
        base = proposal.base
        if self._phase.now == "opening":
            self._journal.record = base
            self._begun()
        self._phase.move("hold back")
        if self._phase.now == "held back":
            self._held_back = held_back(proposal)
        else:  # the saga retires: that answers the callers
            self._take_up(held_back(proposal))
        if base.outbox and base.outbox[-1].seq > self._outbox.confirmed:
            # events may be what is too large; they are durable, so they may be published whoever owns the saga
            self._outbox.publish(base)
            self._outbox.when_confirmed(base.outbox[-1].seq, self.wake)
