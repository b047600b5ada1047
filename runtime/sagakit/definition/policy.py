"""Retry policies and quotas of steps."""

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
"""Highest multiplier. Beyond it a wait could not be computed as a float."""


@knows_its_fields
@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """A policy for retries of a step. `max_attempts` counts the calls of one budget; None retries forever.

    The wait after attempt n is `min(max_interval, initial_interval * multiplier ** (n - 1))`, spread by jitter.
    Exceptions in `reject_on` mean the same as `Reject`: a business refusal, known not done. Those in `not_done_on` mean
    that this attempt is known not to have happened; the next one gets a new key. Both take any iterable. Raises
    DefinitionError.

    ```python
    @step(retry=RetryPolicy(max_attempts=3, not_done_on=(ConnectionRefusedError,)))
    async def charge(self, order: Order, ctx: Context) -> str: ...
    ```
    """

    max_attempts: int | None = 5
    initial_interval: timedelta = timedelta(milliseconds=200)
    multiplier: float = 2.0
    max_interval: timedelta = timedelta(seconds=30)
    reject_on: tuple[type[BaseException], ...] = ()
    not_done_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.max_attempts is not None:
            at_least_one(self.max_attempts, "RetryPolicy: max_attempts", ", or None to retry forever")
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
        """Return the part of the policy that the engine needs."""
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
            raise DefinitionError(f"{where}: {one!r} is not an exception class")
    return classes


@knows_its_fields
@dataclass(frozen=True)
class Limit:
    """A quota that all steps of one worker share by its name, in whichever saga they are.

    `max_concurrent` bounds the calls at the same time, `per_second` the calls that begin in a second. The wait for the
    quota does not count towards the step's timeout. Raises DefinitionError.

    ```python
    PSP = Limit("psp", max_concurrent=5, per_second=20)

    @step(limit=PSP)
    async def charge(self, order: Order, ctx: Context) -> str: ...
    ```
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
"""A policy that never gives up."""

UNDO_POLICY = RetryPolicy(max_attempts=10)
"""The default policy of compensations. A compensation that is given up needs a person."""
