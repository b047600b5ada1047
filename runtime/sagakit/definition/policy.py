"""Retry policies: how often, how soon again, and what an exception means."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from sagakit.definition.plan import Retries
from sagakit.errors import DefinitionError


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a step is retried. `attempts` counts the calls of one budget; None retries for ever.

    The wait after attempt n is `min(most, first * factor ** (n - 1))`, spread by jitter. Exceptions in `reject_on` mean
    the same as `Reject`: a business refusal, known not done. Those in `not_done_on` mean that this attempt is known not
    to have happened; the next one gets a new key. Raises DefinitionError.
    """

    attempts: int | None = 5
    first: timedelta = timedelta(milliseconds=200)
    factor: float = 2.0
    most: timedelta = timedelta(seconds=30)
    reject_on: tuple[type[BaseException], ...] = ()
    not_done_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise DefinitionError(f"attempts={self.attempts}: at least 1, or None to retry for ever")
        if not timedelta(0) < self.first <= self.most:
            raise DefinitionError(f"first={self.first}, most={self.most}: it must be 0 < first <= most")
        if self.factor < 1:
            raise DefinitionError(f"factor={self.factor}: at least 1, or waits would shrink")

    def as_data(self) -> Retries:
        """What the engine needs of it."""
        return Retries(
            attempts=self.attempts,
            first=self.first.total_seconds(),
            factor=self.factor,
            most=self.most.total_seconds(),
        )


class Limit(msgspec.Struct, frozen=True):
    """A quota that steps of one worker share by its name, whatever saga they belong to: calls at once, and a second.

    The wait for it does not count towards the step's timeout. Raises DefinitionError.
    """

    name: str
    at_once: int | None = None
    per_second: float | None = None

    def __post_init__(self) -> None:
        if self.at_once is None and self.per_second is None:
            raise DefinitionError(f"Limit({self.name!r}) limits nothing: give at_once or per_second")
        if (self.at_once is not None and self.at_once < 1) or (self.per_second is not None and self.per_second <= 0):
            raise DefinitionError(f"{self}: at_once must be at least 1, per_second more than 0")


FOREVER = RetryPolicy(attempts=None)
"""Never give up."""

UNDO_POLICY = RetryPolicy(attempts=10)
"""What a compensation has by default: an undo that is given up needs a person."""
