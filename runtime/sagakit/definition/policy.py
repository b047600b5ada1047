"""Retry policies: how often, how soon again, and what an exception means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Any

from sagakit.definition.options import at_least_one, knows_its_fields, seconds
from sagakit.definition.plan import Retries
from sagakit.errors import DefinitionError

MOST_FACTOR = 1000
"""Beyond it a wait could not be computed as a float."""


@knows_its_fields
@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How a step is retried. `max_attempts` counts the calls of one budget; None retries for ever.

    The wait after attempt n is `min(max_interval, initial_interval * multiplier ** (n - 1))`, spread by jitter.
    Exceptions in `reject_on` mean the same as `Reject`: a business refusal, known not done. Those in `not_done_on` mean
    that this attempt is known not to have happened; the next one gets a new key. Both take any iterable. Raises
    DefinitionError.
    """

    max_attempts: int | None = 5
    initial_interval: timedelta = timedelta(milliseconds=200)
    multiplier: float = 2.0
    max_interval: timedelta = timedelta(seconds=30)
    reject_on: tuple[type[BaseException], ...] = ()
    not_done_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts is not None:
            at_least_one(self.max_attempts, "RetryPolicy: max_attempts", ", or None to retry for ever")
        initial = seconds(self.initial_interval, "RetryPolicy: initial_interval")
        if not initial <= seconds(self.max_interval, "RetryPolicy: max_interval"):
            raise DefinitionError(
                f"RetryPolicy: initial_interval={self.initial_interval}, max_interval={self.max_interval}: it must be "
                "0 < initial_interval <= max_interval"
            )
        if not isinstance(self.multiplier, int | float) or not 1 <= self.multiplier <= MOST_FACTOR:
            raise DefinitionError(
                f"RetryPolicy: multiplier={self.multiplier!r}: say a number from 1, or waits would shrink, to "
                f"{MOST_FACTOR}"
            )
        for name in ("reject_on", "not_done_on"):
            object.__setattr__(self, name, _exceptions(getattr(self, name), f"RetryPolicy: {name}"))

    def as_data(self) -> Retries:
        """What the engine needs of it."""
        return Retries(
            max_attempts=self.max_attempts,
            initial_interval=self.initial_interval.total_seconds(),
            multiplier=self.multiplier,
            max_interval=self.max_interval.total_seconds(),
        )


def _exceptions(given: Any, where: str) -> tuple[type[BaseException], ...]:
    classes: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise DefinitionError(f"{where}: {one!r} is no exception class")
    return classes


@knows_its_fields
@dataclass(frozen=True)
class Limit:
    """A quota that steps of one worker share by its name, whatever saga they belong to: calls at once, and a second.

    The wait for it does not count towards the step's timeout. Raises DefinitionError.
    """

    name: str
    max_concurrent: int | None = None
    per_second: float | None = None

    def __post_init__(self) -> None:
        if self.max_concurrent is None and self.per_second is None:
            raise DefinitionError(f"Limit({self.name!r}) limits nothing: give max_concurrent or per_second")
        if self.max_concurrent is not None:
            at_least_one(self.max_concurrent, f"Limit({self.name!r}): max_concurrent")
        if self.per_second is not None and not (isinstance(self.per_second, int | float) and 0 < self.per_second < inf):
            raise DefinitionError(f"Limit({self.name!r}): per_second={self.per_second!r}: say a number, more than 0")


FOREVER = RetryPolicy(max_attempts=None)
"""Never give up."""

UNDO_POLICY = RetryPolicy(max_attempts=10)
"""What a compensation has by default: an undo that is given up needs a person."""
