"""What a step's function may raise, and what a check may answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic

from typing_extensions import TypeVar

R_co = TypeVar("R_co", covariant=True)


class Reject(Exception):
    """A business refusal: known not done, and the saga is to be undone. `code` and `detail` reach the outcome."""

    def __init__(self, code: str, /, **detail: object) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class Retry(Exception):
    """Call me again: after `after`, else by the retry policy.

    `not_done=True` says that this attempt is known not to have happened; otherwise its outcome counts as unknown and
    the next attempt has the same key.
    """

    def __init__(self, reason: str, /, *, after: timedelta | None = None, not_done: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.not_done = not_done


class Done(Generic[R_co]):
    """A check's answer: the action happened, with this result."""

    __match_args__ = ("result",)

    def __init__(self, result: R_co) -> None:
        self.result = result


class NotDone:
    """A check's answer: the action did not happen **and no longer can** (P3)."""
