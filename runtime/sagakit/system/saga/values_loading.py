"""The loading of a record's large values, before its saga goes on. Belongs to one incarnation of a saga's actor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sagakit_actors import ReactorContext

from sagakit.engine import Loaded
from sagakit.engine.record import CLAIMING_SCHEMA
from sagakit.errors import ValueLost
from sagakit.system.environment import Environment
from sagakit.system.saga.phase import PhaseOf
from sagakit.system.saga.saga_messages import SagaMessage, ValuesLoaded
from sagakit.system.saga.slot import SagaSlot


class ValuesLoading:
    """Loads the large values of this worker's own record. If one is lost, the saga is left alone (P11)."""

    __slots__ = ("_ctx", "_environment", "_phase", "_slot", "_then")

    _then: Callable[[Loaded, int], None]

    def __init__(
        self, ctx: ReactorContext[SagaMessage], environment: Environment, slot: SagaSlot, phase: PhaseOf
    ) -> None:
        self._ctx = ctx
        self._environment = environment
        self._slot = slot
        self._phase = phase

    def before(self, then: Callable[[Loaded, int], None]) -> Callable[[Loaded, int], None]:
        """Return a function of a record and its revision that loads the values, and then calls `then` with both."""
        self._then = then
        return self._load

    def _load(self, loaded: Loaded, revision: int) -> None:
        if loaded.record.schema >= CLAIMING_SCHEMA:
            self._ctx.pipe_to_self(_as_it_is, partial(self._loaded, loaded, revision))
            return
        self._slot.values = self._environment.large_values.of_new(loaded.record.run)
        self._go_on(loaded, revision)

    async def _loaded(self, loaded: Loaded, revision: int) -> ValuesLoaded:
        """Return the values, or how they are lost. Waits through an outage."""
        slot = self._slot
        try:
            values = await self._environment.large_values.load(slot.key, loaded.record, slot.values)
        except ValueLost as error:
            return ValuesLoaded(loaded, revision, None, str(error))
        return ValuesLoaded(loaded, revision, values)

    def take(self, message: ValuesLoaded) -> None:
        """Go on with the values. If one is lost, end without a write: the record stays as it is."""
        if message.lost:
            self._environment.reports.left_alone(self._slot.key, message.lost)
            self._phase.move("end")
        else:
            self._slot.values = message.values
            self._go_on(message.loaded, message.revision)

    def _go_on(self, loaded: Loaded, revision: int) -> None:
        then = self._then
        del self._then  # it holds the actor, which holds this: only the garbage collector would find them
        then(loaded, revision)


def _as_it_is(message: ValuesLoaded | None) -> ValuesLoaded:
    assert message is not None, "there is no timeout"
    return message
