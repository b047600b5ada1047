"""Passivation: lets a waiting saga give its place to others, and ends its actor until the saga is woken.

See docs/architecture.md, "Sagas that wait".
"""

from __future__ import annotations

from collections.abc import Callable

from sagakit.engine import Record, goes_on
from sagakit.system.environment import Environment
from sagakit.system.saga.outbox import Outbox
from sagakit.system.saga.reminders import Reminders
from sagakit.system.saga.slot import SagaSlot


class Passivation:
    """Decides on passivation. Belongs to one incarnation of a saga's actor; used while no call of it is under way."""

    __slots__ = ("_asked_with", "_environment", "_key", "_outbox", "_plan", "_reminders", "_told", "_wake")

    def __init__(
        self, environment: Environment, slot: SagaSlot, wake: Callable[[], None], outbox: Outbox, reminders: Reminders
    ) -> None:
        self._environment = environment
        self._key = slot.key
        self._plan = slot.binding.plan
        self._outbox = outbox
        self._reminders = reminders
        self._wake = wake
        self._told = False
        self._asked_with: Record | None = None
        """The record with which the saga last asked to be told. A saga that has another one was busy since."""

    def told(self) -> None:
        """Note that nothing has happened for `passivate_after` seconds, or that another saga has taken the place."""
        self._told = True

    def take_told(self) -> bool:
        """Return True once after `told`. A saga that was told too early is told again."""
        told, self._told = self._told, False
        return told

    def mind_place(self, record: Record, *, held: bool) -> None:
        """Let others have the saga's place. Without a place, ask for one if only that keeps the saga from going on."""
        environment = self._environment
        places = environment.sagas.places
        if places.has(self._key):
            places.idle(self._key)
        elif not held and goes_on(
            self._plan, record, environment.now(), published=self._outbox.confirmed, limits=environment.limits
        ):
            places.ask(self._key)

    def may_end(self, record: Record, *, told: bool, parent_knows: bool) -> bool:
        """Return True if the actor may end now: without a place or before its start at once, else when it was told.

        If not, it is told later, or woken when all its events are published.
        """
        ready = self._outbox.is_out and parent_knows
        if not self._environment.sagas.places.has(self._key) or self._starts_later(record):
            # if the events are all in the log, only the parent is waited for: `when_idle` would wake at once, forever
            if not self._outbox.is_out:
                self._outbox.when_idle(self._wake)
            return ready
        return self._has_waited(record, told=told and ready)

    def _starts_later(self, record: Record) -> bool:
        """Return True for a saga that starts so late that it needs no actor: there may be very many of them."""
        at = record.starts_at
        return at is not None and at > self._environment.now() + self._environment.config.passivate_after

    def _has_waited(self, record: Record, *, told: bool) -> bool:
        """Return True if the saga was told to passivate; otherwise have it told, if it waits for long enough."""
        now, after = self._environment.now(), self._environment.config.passivate_after
        if record.wake_at is not None and record.wake_at < now + after:
            return False  # due so soon that ending the actor costs more than it saves
        at = self._reminders.passivate_at if record is self._asked_with else None
        if at is not None and at > now:
            return False
        if at is not None and told:
            return True
        self._asked_with = record
        self._reminders.passivate(now + after)
        return False
