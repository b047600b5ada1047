"""When one saga's actor, under which nothing is under way, gives its place to others, and when it gives itself up."""

from __future__ import annotations

from functools import partial

from sagakit_actors import Ref

from sagakit.definition.plan import Plan
from sagakit.engine import ENDS, Record, goes_on
from sagakit.system.ending import Ending
from sagakit.system.messages import SagaMessage, Wake
from sagakit.system.outbox import Outbox
from sagakit.system.reminders import Reminders
from sagakit.system.services import Services


class Repose:
    """Belongs to one incarnation of a saga's actor."""

    __slots__ = ("_ending", "_key", "_outbox", "_places", "_plan", "_ref", "_reminders", "_services")

    def __init__(
        self,
        services: Services,
        key: str,
        plan: Plan,
        ref: Ref[SagaMessage],
        outbox: Outbox,
        reminders: Reminders,
        ending: Ending,
    ) -> None:
        self._services = services
        self._places = services.sagas.places
        self._key = key
        self._plan = plan
        self._ref = ref
        self._outbox = outbox
        self._reminders = reminders
        self._ending = ending

    def mind_place(self, record: Record, *, held: bool) -> None:
        """Let others have the place. Without one, ask for it, if that is all that keeps the saga from going on."""
        services, published = self._services, self._outbox.confirmed
        if self._places.has(self._key):
            self._places.idle(self._key)
        elif not held and goes_on(self._plan, record, services.now(), published=published, limits=services.limits):
            self._places.ask(self._key)

    def may_rest(self, record: Record, *, told: bool) -> bool:
        """Whether the actor may give way now: after `rest_after` seconds, when it is `told`; at once without a place.

        If not, it will hear when to look again.
        """
        now, after, reminders = self._services.now(), self._services.config.rest_after, self._reminders
        ready = self._outbox.is_out and (self._ending.parent_knows or record.status not in ENDS)
        if not self._places.has(self._key):
            if not ready:
                self._outbox.when_idle(partial(self._ref.signal, Wake()))
            return ready
        if record.wake_at is not None and record.wake_at < now + after:
            return False
        rest_at, reminders.rest_at = reminders.rest_at, None
        if rest_at is not None and rest_at > now:
            reminders.rest_at = rest_at
        elif rest_at is not None and told and ready:
            return True
        else:
            reminders.rest(now + after)
        return False
