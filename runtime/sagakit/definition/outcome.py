"""The outcome of a saga, for user code."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias

import msgspec
from typing_extensions import TypeVar

T = TypeVar("T")


class Completed(msgspec.Struct, Generic[T], frozen=True):
    """The saga completed: all steps are done. `output` is what the saga's `output` returned.

    ```python
    match await handle.outcome():
        case Completed(output=receipt): ...
        case Failed(code=code): ...
    ```
    """

    output: T


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The saga failed: everything that was done is undone, except after `terminated`.

    `cause` says why. `step`, `code`, `detail` and `reason` give the place and the words. `compensated` names the
    steps that were undone, `late_successes` those that were given up in doubt and reported a success afterwards.
    """

    cause: Literal["rejected", "exhausted", "deadline", "cancelled", "terminated"]
    code: str | None = None
    compensated: tuple[str, ...] = ()
    step: str | None = None
    detail: dict[str, Any] = {}
    reason: str | None = None
    late_successes: tuple[str, ...] = ()


Outcome: TypeAlias = Completed[T] | Failed
