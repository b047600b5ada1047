"""The slot of one saga in this worker: the state that all incarnations of its actor share."""

from __future__ import annotations

from math import inf

from sagakit_actors import Reply

from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import Loaded, SagaStatus
from sagakit.system.large_values import SagaValues
from sagakit.system.saga.activation import Activation, Fresh, GiveUp, Reload, TakeOver


class SagaSlot:
    """The state of one saga that outlives an incarnation of its actor."""

    def __init__(self, binding: SagaBinding, key: str, activation: Activation) -> None:
        self.binding: SagaBinding = binding
        self.key: str = key
        self._activation: Activation = activation
        self.values: SagaValues | None = activation.values if isinstance(activation, (Fresh, TakeOver)) else None
        """The large values of the saga; None while they are not known, or if large values are kept in the record."""
        self.begun: Reply[None] | None = None
        """The reply that the first incarnation sends when its first write is durable, or fails if the write fails."""
        self.operations: int = 0
        """Number of operations handed to the persistence actor so far. A result with a lower number is ignored."""
        self.durable: Loaded | None = None
        """The last record that this worker has written or read; None before that."""
        self.status: SagaStatus | None = None
        """The status under which the census counts this saga; None while the saga is not counted."""
        self.seen_at: float = -inf
        """Trio time at which the last write or look began that shows this worker to be the owner."""
        self.accounted_for: bool = False
        """True if the bucket cannot hold a record that names this worker, once the saga has left this worker."""

    @property
    def wake_at(self) -> float:
        """Time at which the durable record is due to be looked at again, in seconds since the epoch."""
        wake_at = None if self.durable is None else self.durable.record.wake_at
        return inf if wake_at is None else wake_at

    def next_activation(self) -> Activation:
        """Return what the next incarnation starts from; each one after the first starts from the record."""
        activation = self._activation
        if type(activation) is not GiveUp:  # a GiveUp stays until `has_begun`: until it is written
            self._activation = Reload()
        return activation

    def given_up(self, error: str) -> SagaSlot:
        """Return the slot that follows when the saga's actor has crashed too often; `error` says why."""
        last = SagaSlot(self.binding, self.key, GiveUp(error))
        # what this worker knows of the record stays, so that the new actor can still write it back if it is replaced
        last.durable, last.seen_at, last.status = self.durable, self.seen_at, self.status
        last.values = self.values
        return last

    def has_begun(self) -> None:
        """Note that an incarnation has written what it was started for."""
        self._activation = Reload()
