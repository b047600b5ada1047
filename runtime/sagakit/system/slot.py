"""One saga's life in this worker: what its actor's incarnations have in common."""

from __future__ import annotations

from math import inf

from sagakit_actors import Reply

from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import Loaded
from sagakit.system.activation import Activation, GiveUp, Reload


class SagaSlot:
    """What outlives one incarnation of a saga's actor."""

    def __init__(self, binding: SagaBinding, key: str, activation: Activation) -> None:
        self.binding: SagaBinding = binding
        self.key: str = key
        self._activation: Activation = activation
        self.begun: Reply[None] | None = None
        """Answered by the first incarnation when its first write is durable, or with why that failed."""
        self.operations: int = 0
        """Handed to the persistence actor so far: an incarnation does not take what its predecessor asked for."""
        self.durable: Loaded | None = None
        """The last record that this worker has written or read; None before that."""
        self.seen_at: float = -inf
        """When the last write, or look, that shows this worker to be the owner was begun (trio's time)."""
        self.wake_at: float = inf
        """When the durable record wants to be looked at again, in seconds since the epoch."""
        self.accounted_for: bool = False
        """Whether, once it is over, nothing can stand in the bucket that names this worker."""

    def next_activation(self) -> Activation:
        """What the next incarnation starts from: the first one from the origin, each later one from the record."""
        activation = self._activation
        if not isinstance(activation, GiveUp):  # that stands until it is written
            self._activation = Reload()
        return activation

    def given_up(self, error: str) -> SagaSlot:
        """Return what follows when the saga's actor has crashed too often: `error` says why."""
        last = SagaSlot(self.binding, self.key, GiveUp(error))
        last.durable, last.seen_at = self.durable, self.seen_at
        return last

    def has_begun(self) -> None:
        """An incarnation has written what its origin asked for."""
        self._activation = Reload()
