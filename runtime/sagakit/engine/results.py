"""How an attempt ended, as the engine sees it (P3: done, not done, or unknown)."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Complete(msgspec.Struct, frozen=True):
    """Done. `result` is JSON; an action's is kept, a compensation's is `null`. A check says with it: it happened."""

    result: msgspec.Raw = msgspec.Raw(b"null")


class NotHappened(msgspec.Struct, frozen=True):
    """A check's answer: the action did not happen and no longer can."""


class RetryLater(msgspec.Struct, frozen=True, kw_only=True):
    """The step asks to be called again, `after` seconds from now if given, else by its retry policy.

    `not_done` says that this attempt is known not to have happened.
    """

    reason: str
    after: float | None = None
    not_done: bool = False


class Compensating(msgspec.Struct, frozen=True, kw_only=True):
    """A business refusal: known not done, and the saga is to be undone. `detail` is JSON."""

    code: str
    detail: msgspec.Raw = msgspec.Raw(b"{}")


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Anything else: an exception, a timeout, a lost worker. Unknown, unless `not_done`.

    `at_once` says that waiting before the next attempt serves nothing: the worker was lost, not the participant.
    `where` names the line of user code that has raised it, for the log.
    """

    error: str
    not_done: bool = False
    at_once: bool = False
    where: str = ""


class ArgumentsUnreadable(msgspec.Struct, frozen=True, kw_only=True):
    """What the record holds for the call cannot be read as the types that this worker has.

    Another attempt here would come to the same. With `not_done` the call was not made: its arguments could not be read.
    Otherwise the function was called, and has asked its `ctx` for a result that could not be read.
    """

    error: str
    not_done: bool = True


StepExecutionResult: TypeAlias = Complete | RetryLater | Compensating | Error | ArgumentsUnreadable
"""What an attempt of an action or of a compensation ends in; a check may also answer `NotDone`."""

AttemptResult: TypeAlias = StepExecutionResult | NotHappened
