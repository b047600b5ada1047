"""The calls of one saga that are under way: made beside its actor, which hears how each has ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sagakit_actors import ReactorContext

from sagakit.engine import AttemptResult, Call, Effect, Ended, Record
from sagakit.system.attempts import WITHDRAWN, SagaBinding, timed_out
from sagakit.system.messages import Attempted, SagaMessage
from sagakit.system.services import Services
from sagakit.system.ticket import Ticket


class Calls:
    """Belongs to one incarnation of a saga's actor."""

    __slots__ = ("_binding", "_ctx", "_services", "_tickets", "_waits")

    def __init__(self, ctx: ReactorContext[SagaMessage], binding: SagaBinding, services: Services) -> None:
        self._ctx = ctx
        self._binding = binding
        self._services = services
        self._tickets: dict[str, Ticket] = {}
        self._waits: set[str] = set()
        """The steps whose calls only wait for another saga."""

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def at_work(self) -> bool:
        """Whether a call is under way that does more than wait for another saga."""
        return len(self._tickets) > len(self._waits)

    def has(self, call: Call) -> bool:
        """Whether this attempt is under way, or its end is not folded yet."""
        ticket = self._tickets.get(call.step)
        return ticket is not None and ticket.call == call.call

    def make(self, call: Call, record: Record) -> None:
        """Make one attempt; `Attempted` says how it ended."""
        self._tickets[call.step] = ticket = Ticket(call.call)
        if call.waits:
            self._waits.add(call.step)
        to = partial(self._attempted, call, f"{record.saga_type}.{record.saga_id}", self._services.random())
        perform, bound = self._binding.perform, self._binding.bound(call)
        self._ctx.pipe_to_self(to, perform, call, record, self._services, ticket, timeout=bound)

    def ended(self, step: str) -> None:
        """The end of its call is folded into the record."""
        self._tickets.pop(step, None)
        self._waits.discard(step)

    def withdraw_all_but(self, asked: Sequence[Effect]) -> None:
        """A call that waits for its turn, and is not asked for any more, is not to be made."""
        wanted = {effect.step for effect in asked if isinstance(effect, Call)}
        for step, ticket in self._tickets.items():
            if step not in wanted:
                ticket.withdraw()

    def _attempted(self, call: Call, key: str, random: float, result: AttemptResult | None) -> Attempted:
        result = timed_out(call) if result is None else result
        if result is not WITHDRAWN:
            self._services.reports.attempted(key, call, result)
        return Attempted(Ended(call.step, call.call, result, random))
