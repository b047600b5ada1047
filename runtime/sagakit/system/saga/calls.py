"""The calls of one saga that are under way. They run in their own tasks; the saga's actor is told how each ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sagakit_actors import ReactorContext

from sagakit.binding.permit import CallPermit
from sagakit.binding.saga_binding import REVOKED, timed_out
from sagakit.engine import AttemptEnded, AttemptResult, Call, Complete, Effect, Record
from sagakit.system.environment import Environment
from sagakit.system.saga.saga_messages import Attempted, SagaMessage
from sagakit.system.saga.slot import SagaSlot


class Calls:
    """Makes and revokes calls. Belongs to one incarnation of a saga's actor."""

    __slots__ = ("_binding", "_ctx", "_environment", "_permits", "_slot", "_waits")

    def __init__(self, ctx: ReactorContext[SagaMessage], environment: Environment, slot: SagaSlot) -> None:
        self._ctx = ctx
        self._binding = slot.binding
        self._slot = slot
        self._environment = environment
        self._permits: dict[str, CallPermit] = {}
        self._waits: frozenset[str] = frozenset()
        """Steps whose calls only wait for another saga."""

    def __len__(self) -> int:
        return len(self._permits)

    def at_work(self) -> bool:
        """Return True if a call is under way that does more than wait for another saga."""
        return len(self._permits) > len(self._waits)

    def has(self, call: Call) -> bool:
        """Return True if this attempt is under way, or its end is not folded yet."""
        permit = self._permits.get(call.step)
        return permit is not None and permit.call == call.call

    def make(self, call: Call, record: Record) -> None:
        """Make one attempt. The actor gets an `Attempted` with its result."""
        self._permits[call.step] = permit = CallPermit(call.call)
        if call.waits:
            self._waits |= {call.step}
        environment, values = self._environment, self._slot.values
        if values is not None:
            record = values.fill(record)
        to = partial(self._attempted, call, record, environment.random(), environment.trio_time())
        perform, bound = self._binding.perform, self._binding.bound(call)
        self._ctx.pipe_to_self(to, perform, call, record, environment, permit, timeout=bound)

    def ended(self, step: str) -> None:
        """Forget the call of a step, whose end is folded into the record."""
        self._permits.pop(step, None)
        if step in self._waits:
            self._waits -= {step}

    def revoke_all_but(self, asked: Sequence[Effect]) -> None:
        """Revoke the calls that wait for their turn and are not among the effects `asked` for any more."""
        if not self._permits:
            return
        wanted = {effect.step for effect in asked if isinstance(effect, Call)}
        for step, permit in self._permits.items():
            if step not in wanted:
                permit.revoke()

    def _attempted(
        self, call: Call, record: Record, random: float, began: float, result: AttemptResult | None
    ) -> Attempted:
        result = timed_out(call) if result is None else result
        if isinstance(result, Complete) and self._slot.values is not None:
            result = Complete(self._slot.values.claim(result.result))
        if result is not REVOKED:
            environment = self._environment
            environment.tally.attempted(record.saga_type, call.step, call.kind, environment.trio_time() - began)
            if not isinstance(result, Complete):
                environment.reports.attempted(call, record, result)
        return Attempted(AttemptEnded(call.step, call.call, result, random))
