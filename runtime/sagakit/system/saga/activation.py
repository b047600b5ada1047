"""The activations: what a saga's actor starts from, and what is kept of a passivated saga."""

from __future__ import annotations

from math import inf
from typing import NamedTuple, Protocol, TypeAlias, final

import msgspec

from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import Loaded, Published, Record, SagaStatus
from sagakit.engine.table import OPEN
from sagakit.system.large_values import SagaValues
from sagakit.system.record_cache import CachedRecord


class CreateRecord(Protocol):
    """Makes the first record of a saga; with `hold` no attempt is opened in it."""

    def __call__(self, *, hold: bool) -> Record: ...


@final
class Fresh(msgspec.Struct, frozen=True):
    """A saga to be created. `not_after` (trio time) is as in `Put`."""

    create: CreateRecord
    not_after: float = inf
    values: SagaValues | None = None


@final
class TakeOver(msgspec.Struct, frozen=True):
    """A record to be taken over at this revision."""

    loaded: Loaded
    revision: int
    values: SagaValues | None = None


@final
class Reload(msgspec.Struct, frozen=True):
    """The worker's own record, whatever its revision is now: an earlier incarnation has crashed."""


@final
class GiveUp(msgspec.Struct, frozen=True):
    """The worker's own record of a saga whose actor has crashed too often, last with `error`. It becomes stuck."""

    error: str


@final
class Reactivate(msgspec.Struct, frozen=True):
    """The worker's own record of a saga that was passivated. `published` says which of its events are in the log.

    `kept` is the record itself, if this worker has kept it and nobody can have written it since; else it is read.
    """

    published: Published
    kept: CachedRecord | None = None


class Passivated(NamedTuple):
    """A saga that waits without an actor.

    `at` is the time at which it wakes by itself, in seconds since the epoch; None if only a message wakes it.
    `published` says which of its events are in the log. `status` is that of its record.
    """

    at: float | None
    published: Published
    binding: SagaBinding
    status: SagaStatus


Activation: TypeAlias = Fresh | TakeOver | Reload | GiveUp | Reactivate


def has_open_attempts(record: Record) -> bool:
    """Return True if a worker makes an attempt, or made one when it was lost."""
    return any(log.state in OPEN for log in record.steps.values())
