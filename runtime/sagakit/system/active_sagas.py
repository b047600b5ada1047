"""The table of this worker's sagas: the active ones and the passivated ones. It starts their actors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from logging import getLogger
from math import inf

import trio
from sagakit_actors import (
    ActorGone,
    Backoff,
    DynamicSupervisor,
    MailboxFull,
    ReactorSpec,
    Ref,
    RestartIntensityExceeded,
)

from sagakit.binding.saga_binding import SagaBinding
from sagakit.errors import Fenced, RuntimeClosed
from sagakit.system.census import Census
from sagakit.system.config import Config
from sagakit.system.environment import Environment
from sagakit.system.places import Places
from sagakit.system.record_cache import CachedRecord, RecordCache
from sagakit.system.saga.activation import Activation, Fresh, Passivated, Reactivate
from sagakit.system.saga.saga_actor import SagaActor
from sagakit.system.saga.saga_messages import Compare, Drain, Passivate, SagaMessage, Wake
from sagakit.system.saga.slot import SagaSlot
from sagakit.system.signs_of_life import SignsOfLife
from sagakit.system.timers import SetAlarm

_log = getLogger("sagakit")

SHUTDOWN = 5.0
"""Seconds that a saga's actor gets to stop before it is cancelled."""


class ActiveSagas:
    """The table of this worker's sagas by their keys, active or passivated. For tasks of the trio thread."""

    _environment: Environment

    def __init__(self, config: Config, signs: SignsOfLife) -> None:
        self.supervisor: DynamicSupervisor = DynamicSupervisor(
            intensity=config.max_restarts,
            period=config.restart_period,
            backoff=Backoff(initial_interval=0.05, max_interval=5.0),
            max_children=sys.maxsize,  # the sagas at work are bounded by their places
            on_exit=self._exited,
        )
        """The supervisor of the sagas' actors."""
        self._capacity = config.mailbox_capacity
        self._active: dict[str, Ref[SagaMessage]] = {}
        self.places: Places = Places(config.max_active, granted=self._has_turn, taken=self._gives_way)
        """The places of sagas at work."""
        self.signs: SignsOfLife = signs
        """The signs of life of participants."""
        self.census: Census = Census()
        """The numbers of the worker's sagas by type and status."""
        self.draining: bool = False
        """True once this worker drains: it leaves its sagas to other workers."""
        self._drained = trio.Event()
        self._noting: list[set[str]] = []
        self._slots: dict[str, SagaSlot] = {}
        self._given_up: set[str] = set()
        self._passivated: dict[str, Passivated] = {}
        self._alarms: dict[str, float] = {}
        """Times, in seconds since the epoch, of the alarms that were set last for passivated sagas."""
        self._records = RecordCache()
        """Records of passivated sagas."""
        self.lost_sight: bool = False
        """True if the bucket may hold a record that names this worker although the saga is not here any more."""
        self.left: bool = True
        """True if a drain has left sagas for other workers; assumed until the drain has ended."""

    def open(self, environment: Environment) -> None:
        """Set the environment that the actors share. Call this once `supervisor` runs, before anything else."""
        self._environment = environment
        self.supervisor.watch_for_children(
            environment.publisher, environment.persistence, environment.timers, environment.isolation
        )

    def __len__(self) -> int:
        return len(self._active)

    def get(self, key: str) -> Ref[SagaMessage] | None:
        """Return the actor of the saga under `key`, if it is active here."""
        return self._active.get(key)

    def has(self, key: str) -> bool:
        """Return True if the saga under `key` is here, active or passivated."""
        return key in self._active or key in self._passivated

    # ----------------------------------------------------------- passivated

    def passivate(self, key: str, passivated: Passivated, kept: CachedRecord | None) -> None:
        """Passivate a saga: its actor is about to end, and the saga waits for a time, a message or a place.

        Its record is `kept` as long as there is room for it.
        """
        self._passivated[key] = passivated
        if kept is not None:
            self._records.keep(kept)
        self._set_alarm(key, passivated)
        self.places.vacate(key)

    def _set_alarm(self, key: str, passivated: Passivated) -> None:
        at = self._due(key, passivated)
        if at < inf:
            self._alarms[key] = at
            self._environment.timers.tell_nowait(SetAlarm(key, at))

    def _due(self, key: str, passivated: Passivated) -> float:
        """Return when to wake a passivated saga, in seconds since the epoch; infinite if only a message wakes it."""
        at = inf if passivated.at is None else passivated.at
        left = self.signs.left(key)
        return at if left == inf else min(at, self._environment.now() + left)

    def let_go(self) -> None:
        """Note that an actor leaves its saga to the next owner."""
        self.left = True

    def alarms(self) -> Iterable[tuple[str, float]]:
        """Return the alarms of passivated sagas, for timers that have lost them: keys, and seconds since the epoch."""
        self._alarms = dict(self._waiting_for_a_time())
        return self._alarms.items()

    def _waiting_for_a_time(self) -> Iterator[tuple[str, float]]:
        due = ((key, self._due(key, passivated)) for key, passivated in self._passivated.items())
        return ((key, at) for key, at in due if at < inf)

    @property
    def passivated(self) -> int:
        """Number of passivated sagas."""
        return len(self._passivated)

    @property
    def waiting(self) -> int:
        """Number of ordinary messages that wait for all active sagas together. For any thread."""
        return sum(ref.waiting for ref in tuple(self._active.values()))

    def ring(self, key: str) -> None:
        """Wake a passivated saga whose time has come, as soon as there is a place for it.

        An alarm that is out of date does nothing. The one that was set last is set again if a participant has shown
        life since.
        """
        passivated = self._passivated.get(key)
        if passivated is None:
            return
        now = self._environment.now()
        if self._due(key, passivated) <= now:
            self.places.ask(key)
        elif self.signs.left(key) < inf and self._alarms.get(key, 0.0) <= now:
            self._set_alarm(key, passivated)

    def reach(self, key: str, *, looks: bool = True, run: str = "") -> Ref[SagaMessage] | None:
        """Return the actor of the saga under `key`; wake the saga if it is passivated. None if the saga is not here.

        A saga that is woken looks at its stored record first, and so finds out if it was removed from outside. Without
        `looks`, for what leads to a write, the write finds that out; but not for a message to another `run` than the
        one that is known here, which leads to none. The actor needs no place for this: a message to a saga is applied
        at once.
        """
        # a saga that is both active and passivated has an actor that is about to exit: callers get ActorGone from it,
        # and reach the next actor then
        if key not in self._active and key in self._passivated:
            self._wake(key, looks=looks, run=run)
        return self._active.get(key)

    def _wake(self, key: str, *, looks: bool, run: str = "") -> None:
        passivated = self._passivated.pop(key)
        self._alarms.pop(key, None)
        kept = self._records.take(key)
        if kept is not None and (
            looks or run not in ("", kept.run) or not self._environment.is_ours_since(kept.seen_at)
        ):
            kept = None
        slot = SagaSlot(passivated.binding, key, Reactivate(passivated.published, kept))
        slot.status = passivated.status
        self._live(slot)

    def _wake_with_place(self, key: str) -> None:
        with suppress(ActorGone):  # the supervisor has stopped: the worker ends, and its actors exit one by one
            self._wake(key, looks=False)

    def _has_turn(self, key: str) -> None:
        """Let a saga go on that has asked for a place and has got one."""
        if key in self._passivated:
            if key not in self._active:  # else its last actor is about to exit: the saga is woken after that
                self._wake_with_place(key)
        elif key in self._active:
            self._active[key].signal(Wake())
        else:  # the saga was passivated, and the worker has begun to drain since it asked
            self.places.leave(key)

    def _gives_way(self, key: str) -> None:
        """Tell a waiting saga whose place another saga has taken that it may end its actor."""
        self._active[key].signal(Passivate())

    def compare(self, key: str, revision: int, at: float) -> bool:
        """Tell a saga's actor the revision that a scan which began at `at` (trio time) has found.

        Return False if no actor is active under `key`.
        """
        ref = self._active.get(key)
        if ref is None:
            self._records.compare(key, revision)
            return False
        try:
            ref.tell_nowait(Compare(revision, at))
        except (MailboxFull, ActorGone):  # the cursor is past this record now: only a whole scan meets it again
            self.lost_sight = True
        return True

    def compare_passivated(self, key: str, owner: str) -> None:
        """Forget a passivated saga if its record names another worker as its `owner`."""
        if owner == self._environment.worker_id:
            return
        passivated = self._passivated.pop(key, None)
        if passivated is not None:
            self._forget(key, passivated)
            self.places.leave(key)
            self._environment.fenced(Fenced(key, f"worker {owner} has it; it was passivated here"))

    def _forget(self, key: str, passivated: Passivated) -> None:
        """Note that a saga which is not passivated any more leaves the census, unless its last actor still counts."""
        self._alarms.pop(key, None)
        self.signs.forget(key)
        if key not in self._active:
            self.census.moved(passivated.binding.plan.saga_type, passivated.status, None)

    def wake_stalled(self, before: float) -> None:
        """Wake the sagas that were due before `before` (seconds since the epoch) and did not wake by themselves."""
        for key in [key for key, at in self._waiting_for_a_time() if at < before]:
            self.ring(key)
        for key, slot in self._slots.items():
            if slot.wake_at < before:
                self._active[key].signal(Wake())

    @contextmanager
    def noting_exits(self) -> Iterator[set[str]]:
        """Collect the keys of the sagas that leave this worker while the context is open."""
        gone: set[str] = set()
        self._noting.append(gone)
        try:
            yield gone
        finally:
            self._noting.remove(gone)

    def keys(self) -> list[str]:
        """Return the keys of all sagas that are active here."""
        return list(self._active)

    def others(self, key: str) -> list[Ref[SagaMessage]]:
        """Return the actors that are active here, without that of the saga under `key`."""
        return [ref for other, ref in self._active.items() if other != key]

    async def begin(
        self, key: str, binding: SagaBinding, origin: Activation, *, in_line: bool = True
    ) -> Ref[SagaMessage] | None:
        """Start an actor, wait until its first write is durable, and return it.

        Waits in line while the worker is full; a new saga also waits while a suspect has the worker to itself. With
        `in_line=False` this waits for neither: the saga is created, and held until it may open attempts. Return None if
        a saga is here under the same key already. Raises RuntimeClosed during a drain, and what the write raised; then
        nothing is active. If the wait for the write is cancelled, the actor goes on.
        """
        if in_line:
            await self._enter(minds_gate=isinstance(origin, Fresh))
        # from here to `_live` nothing waits: nobody can start an actor under the same key in between
        if self.draining or self.has(key):
            if in_line:
                self.places.give_back()
            if self.draining:
                raise RuntimeClosed(f"{key}: the runtime is closing; it starts no saga any more")
            return None
        if in_line:
            self.places.seat(key)
        slot = SagaSlot(binding, key, origin)
        ref = self._live(slot)
        begun, slot.begun = slot.begun, None
        assert begun is not None, "a new saga, and an adopted one, promises to say when it has begun"
        await begun.wait()
        return ref

    async def _enter(self, *, minds_gate: bool) -> None:
        """Take a place. If the gate has been closed meanwhile, give the place back and begin anew."""
        gate = self._environment.gate
        while True:
            if minds_gate:
                await gate.until_open()
            await self.places.enter()
            if gate.is_open or not minds_gate:
                return
            self.places.give_back()

    def _live(self, slot: SagaSlot) -> Ref[SagaMessage]:
        key = slot.key
        make = partial(SagaActor, self._environment, slot)
        spec = ReactorSpec(key, make, restart="transient", shutdown=SHUTDOWN, capacity=self._capacity)
        ref: Ref[SagaMessage] = self.supervisor.start_reactor(spec)
        self._active[key] = ref
        self._slots[key] = slot
        return ref

    def _exited(self, ref: Ref[SagaMessage], reason: Exception | None) -> None:
        """Take the supervisor's notice that an actor has ended for good."""
        key = ref.name
        if self._active.get(key) is ref:  # else a newer actor has the key
            slot = self._slots.pop(key)
            # an actor that crashes too often is started once more, to write that the saga is stuck. If that one crashes
            # too often as well, the saga leaves this worker: `_given_up` keeps this from going on forever
            may_keep = not self.draining and key not in self._given_up
            if may_keep and isinstance(reason, RestartIntensityExceeded):
                _log.error("%s: %s", key, reason)
                self._given_up.add(key)
                self._live(slot.given_up(repr(reason.__cause__)))
                return
            self._given_up.discard(key)
            del self._active[key]
            self._environment.room.left(key)
            if key not in self._passivated:
                # the saga leaves this worker. Unless its actor knows that no record names this worker any more, the
                # bucket may hold one, which the cursors of the scans may have passed
                self.lost_sight = self.lost_sight or not slot.accounted_for
                for gone in self._noting:
                    gone.add(key)
                self.census.moved(slot.binding.plan.saga_type, slot.status, None)
                self.signs.forget(key)
                self.places.leave(key)
            elif self.places.has(key):  # its turn for a place came while this actor was about to exit
                self._wake_with_place(key)
            if self.draining and not self._active:
                self._drained.set()

    async def drain(self) -> None:
        """Start nothing new, and wait until no saga is active here. Passivated sagas are left to the next owner.

        If the wait is cancelled, the actors stay told to leave.
        """
        self.draining = True
        self._environment.gate.dismiss()
        self.left = bool(self._passivated)
        for key, passivated in self._passivated.items():
            self._forget(key, passivated)
        self._passivated.clear()
        self._records.clear()
        for ref in list(self._active.values()):
            with suppress(ActorGone):
                await ref.tell(Drain())
        if self._active:
            await self._drained.wait()
