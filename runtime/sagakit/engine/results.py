"""The results of an attempt: done, known not done, or unknown (P3)."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Complete(msgspec.Struct, frozen=True):
    """Done. `result` is JSON: the action's is kept, a compensation's is `null`. From a check it means: it happened."""

    result: msgspec.Raw = msgspec.Raw(b"null")


class NotHappened(msgspec.Struct, frozen=True):
    """A check's answer: the action did not happen and no longer can."""


class RetryLater(msgspec.Struct, frozen=True, kw_only=True):
    """A request to be called again, `after` seconds from now if given, else by the step's retry policy.

    With `not_done` this attempt is known not to have happened; otherwise it is unknown.
    """

    reason: str
    after: float | None = None
    not_done: bool = False


class Compensating(msgspec.Struct, frozen=True, kw_only=True):
    """A business refusal: known not done, and the saga is to be undone. `detail` is JSON."""

    code: str
    detail: msgspec.Raw = msgspec.Raw(b"{}")


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Any other end: an exception, a timeout, a lost worker. Unknown, unless `not_done`.

    With `at_once` the next attempt does not wait, since the worker was lost and not the participant. `where` names the
    line of user code that raised the error, for the log.
    """

    error: str
    not_done: bool = False
    at_once: bool = False
    where: str = ""


class ArgumentsUnreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A failure to read the call's arguments from the record as the types that this worker has.

    Another attempt here would end in the same way. With `not_done` the function was not called. Otherwise it was, and
    asked its `ctx` for a result that could not be read.
    """

    error: str
    not_done: bool = True


StepExecutionResult: TypeAlias = Complete | RetryLater | Compensating | Error | ArgumentsUnreadable
"""The result of an attempt of an action or a compensation; a check may also end in `NotHappened`."""

AttemptResult: TypeAlias = StepExecutionResult | NotHappened
