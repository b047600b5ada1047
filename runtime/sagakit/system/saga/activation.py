"""Where a saga's actor starts from, and what is left of one at rest."""

from __future__ import annotations

from math import inf
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import Loaded, Record


class CreateRecord(Protocol):
    """Makes the first record of a saga; with `hold` no attempt is opened in it."""

    def __call__(self, *, hold: bool) -> Record: ...


class Fresh(msgspec.Struct, frozen=True):
    """A saga to be created. `not_after` (trio time) as of `Put`."""

    create: CreateRecord
    not_after: float = inf


class TakeOver(msgspec.Struct, frozen=True):
    """A record to be taken over at this revision."""

    loaded: Loaded
    revision: int


class Reload(msgspec.Struct, frozen=True):
    """This worker's own record, whatever its revision is now: an earlier incarnation crashed."""


class GiveUp(msgspec.Struct, frozen=True):
    """This worker's own record: its actor crashed too often. It is stuck until an operator helps, and kept here."""

    error: str


class Reactivate(msgspec.Struct, frozen=True):
    """This worker's own record: it has been at rest. Its events up to `confirmed` are in the log."""

    confirmed: int


class Passivated(NamedTuple):
    """A saga that waits and costs no actor.

    `at` is when it wakes by itself, in seconds since the epoch; its events up to `confirmed` are in the log.
    """

    at: float | None
    confirmed: int
    binding: SagaBinding


Activation: TypeAlias = Fresh | TakeOver | Reload | GiveUp | Reactivate
