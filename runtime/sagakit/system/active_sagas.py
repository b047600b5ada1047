"""The active sagas of this worker: who they are, and how one is brought to life."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from logging import getLogger

import trio
from sagakit_actors import (
    ActorGone,
    DynamicSupervisor,
    MailboxFull,
    ReactorSpec,
    Ref,
    RestartIntensityExceeded,
)

from sagakit.binding.saga_binding import SagaBinding
from sagakit.errors import Fenced, RuntimeClosed
from sagakit.system.activation import Activation, Fresh, Passivated, Reactivate
from sagakit.system.environment import Environment
from sagakit.system.messages import Compare, Drain, Passivate, SagaMessage, SetAlarm, Wake
from sagakit.system.places import Places
from sagakit.system.saga_actor import SagaActor
from sagakit.system.slot import SagaSlot

_log = getLogger("sagakit")

SHUTDOWN = 5.0
"""Seconds that a saga's actor gets to stop before it is cancelled."""


class ActiveSagas:
    """The sagas of this worker by their keys: active ones, and those passivated. For tasks of the trio thread."""

    def __init__(self, supervisor: DynamicSupervisor, environment: Environment) -> None:
        self._supervisor = supervisor
        self._environment = environment
        self._active: dict[str, Ref[SagaMessage]] = {}
        self.places: Places = Places(environment.config.max_active, granted=self._has_turn, taken=self._gives_way)
        self._drained: trio.Event | None = None
        self._noting: list[set[str]] = []
        self._slots: dict[str, SagaSlot] = {}
        self._given_up: set[str] = set()
        self._passivated: dict[str, Passivated] = {}
        self.lost_sight: bool = False
        """Whether a saga may stand in the bucket as this worker's that does not live here any more."""
        self.left: bool = True
        """Whether a drain has left sagas for others; as good as sure before it has come to its end."""

    def __len__(self) -> int:
        return len(self._active)

    @property
    def draining(self) -> bool:
        """Whether all that live here are to be left to others."""
        return self._drained is not None

    def get(self, key: str) -> Ref[SagaMessage] | None:
        """The actor of the saga under `key`, if it is active here."""
        return self._active.get(key)

    def has(self, key: str) -> bool:
        """Whether the saga under `key` lives here, active or passivated."""
        return key in self._active or key in self._passivated

    # -------------------------------------------------------------- passivated

    def passivate(self, key: str, passivated: Passivated) -> None:
        """An actor gives way: the saga waits for a time, a message or a place."""
        self._passivated[key] = passivated
        if passivated.at is not None:
            self._environment.timers.tell_nowait(SetAlarm(key, passivated.at))
        self.places.vacate(key)

    def let_go(self) -> None:
        """An actor leaves its saga to the next owner."""
        self.left = True

    def alarms(self) -> Iterator[tuple[str, float]]:
        """When the sagas passivated want to be woken."""
        return ((key, passivated.at) for key, passivated in self._passivated.items() if passivated.at is not None)

    @property
    def passivated(self) -> int:
        """How many are passivated."""
        return len(self._passivated)

    def ring(self, key: str) -> None:
        """A passivated saga's time has come: wake it when there is a place for it."""
        passivated = self._passivated.get(key)
        if passivated is not None and passivated.at is not None and passivated.at <= self._environment.now():
            self.places.ask(key)

    def reach(self, key: str) -> Ref[SagaMessage] | None:
        """The actor of the saga under `key`, woken if it is passivated; None if it does not live here.

        It needs no place: whatever is asked of a saga is applied at once.
        """
        if key not in self._active and key in self._passivated:
            self._wake(key)
        return self._active.get(key)

    def _wake(self, key: str) -> None:
        passivated = self._passivated.pop(key)
        self._live(SagaSlot(passivated.binding, key, Reactivate(passivated.confirmed)))

    def _wake_with_place(self, key: str) -> None:
        with suppress(ActorGone):  # the worker has come to its end, and its actors exit one by one
            self._wake(key)

    def _has_turn(self, key: str) -> None:
        """The saga has asked for a place, and has got one."""
        if key in self._passivated:
            if key not in self._active:  # else its last actor is still on its way: it is woken after that
                self._wake_with_place(key)
        elif key in self._active:
            self._active[key].signal(Wake())
        else:  # it was passivated, and the worker leaves
            self.places.leave(key)

    def _gives_way(self, key: str) -> None:
        """The saga only waits, and its place is another's: it need not keep its actor."""
        self._active[key].signal(Passivate())

    def compare(self, key: str, revision: int, at: float) -> bool:
        """Tell an actor the revision that a scan which began at `at` (trio time) has found; False: none is active."""
        ref = self._active.get(key)
        if ref is None:
            return False
        try:
            ref.tell_nowait(Compare(revision, at))
        except (MailboxFull, ActorGone):  # the next whole scan comes
            self.lost_sight = True
        return True

    def compare_passivated(self, key: str, owner: str) -> None:
        """Let go of a saga passivated whose record names another worker."""
        if owner != self._environment.worker_id and self._passivated.pop(key, None) is not None:
            self.places.leave(key)
            self._environment.fenced(Fenced(key, f"worker {owner} has it; it was passivated here"))

    def wake_stalled(self, before: float) -> None:
        """Wake those whose time came `before`, in seconds since the epoch, and who did not wake by themselves."""
        for key in [key for key, at in self.alarms() if at < before]:
            self.ring(key)
        for key, slot in self._slots.items():
            if slot.wake_at < before:
                self._active[key].signal(Wake())

    @contextmanager
    def noting_exits(self) -> Iterator[set[str]]:
        """The keys that cease to be active here while the context is open."""
        gone: set[str] = set()
        self._noting.append(gone)
        try:
            yield gone
        finally:
            self._noting.remove(gone)

    def keys(self) -> list[str]:
        """The keys of all that are active here."""
        return list(self._active)

    def others(self, key: str) -> list[Ref[SagaMessage]]:
        """The actors that are active here, but for the saga under `key`."""
        return [ref for other, ref in self._active.items() if other != key]

    async def begin(
        self, key: str, binding: SagaBinding, origin: Activation, *, in_line: bool = True
    ) -> Ref[SagaMessage] | None:
        """Start an actor and wait until its first write is durable; waits in line while the worker is full.

        A new saga also waits while a suspect has the worker to itself. With `in_line=False` it waits for neither: it is
        created and held until it may open attempts. None if another actor came first under the same key. Raises what
        the write raised; then nothing is active.
        """
        if in_line:
            await self._enter(minds_gate=isinstance(origin, Fresh))
        if self._drained is not None or self.has(key):
            if in_line:
                self.places.give_back()
            if self._drained is not None:
                raise RuntimeClosed(f"{key}: the runtime is closing and starts nothing any more")
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
        """Take a place; the gate may have been closed while it was waited for."""
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
        make, capacity = partial(SagaActor, self._environment, slot), self._environment.config.mailbox_capacity
        spec = ReactorSpec(key, make, restart="transient", shutdown=SHUTDOWN, capacity=capacity)
        ref: Ref[SagaMessage] = self._supervisor.start_reactor(spec)
        self._active[key] = ref
        self._slots[key] = slot
        return ref

    def exited(self, ref: Ref[SagaMessage], reason: Exception | None) -> None:
        """The supervisor's notice that an actor has gone for good."""
        if self._active.get(ref.name) is ref:
            slot = self._slots.pop(ref.name)
            may_keep = self._drained is None and ref.name not in self._given_up
            if may_keep and isinstance(reason, RestartIntensityExceeded):
                _log.error("%s: %s", ref.name, reason)
                self._given_up.add(ref.name)
                self._live(slot.given_up(repr(reason.__cause__)))
                return
            self._given_up.discard(ref.name)
            del self._active[ref.name]
            self._environment.room.left(ref.name)
            if ref.name not in self._passivated:
                self.lost_sight = self.lost_sight or not slot.accounted_for
                for gone in self._noting:
                    gone.add(ref.name)
                self.places.leave(ref.name)
            elif self.places.has(ref.name):  # its turn came while this actor was on its way
                self._wake_with_place(ref.name)
            if self._drained is not None and not self._active:
                self._drained.set()

    async def drain(self) -> None:
        """Start nothing new and return once no saga is active here; what is not over is left for the next owner."""
        self._drained = trio.Event()
        self._environment.gate.dismiss()
        self.left = bool(self._passivated)
        self._passivated.clear()
        for ref in list(self._active.values()):
            with suppress(ActorGone):
                await ref.tell(Drain())
        if self._active:
            await self._drained.wait()
