"""One saga's slot in this worker: the state that all incarnations of its actor share."""

from __future__ import annotations

from math import inf

from sagakit_actors import Reply

from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import Loaded
from sagakit.system.saga.activation import Activation, GiveUp, Reload


class SagaSlot:
    """The state of one saga that outlives an incarnation of its actor."""

    def __init__(self, binding: SagaBinding, key: str, activation: Activation) -> None:
        self.binding: SagaBinding = binding
        self.key: str = key
        self._activation: Activation = activation
        self.begun: Reply[None] | None = None
        """Answered by the first incarnation when its first write is durable, or with why that failed."""
        self.operations: int = 0
        """Operations handed to the persistence actor so far. A result with a lower number is for nobody."""
        self.durable: Loaded | None = None
        """The last record that this worker has written or read; None before that."""
        self.seen_at: float = -inf
        """When the last write or look began that shows this worker to be the owner (trio time)."""
        self.wake_at: float = inf
        """When the durable record is due to be looked at again, in seconds since the epoch."""
        self.accounted_for: bool = False
        """True if the bucket cannot hold a record that names this worker, once the actor has ended."""

    def next_activation(self) -> Activation:
        """Return what the next incarnation starts from; each one after the first starts from the record."""
        activation = self._activation
        if not isinstance(activation, GiveUp):  # that is in force until it is written
            self._activation = Reload()
        return activation

    def given_up(self, error: str) -> SagaSlot:
        """Return the slot that follows when the saga's actor has crashed too often; `error` says why."""
        last = SagaSlot(self.binding, self.key, GiveUp(error))
        last.durable, last.seen_at = self.durable, self.seen_at
        return last

    def has_begun(self) -> None:
        """Note that an incarnation has written what it was started for."""
        self._activation = Reload()
