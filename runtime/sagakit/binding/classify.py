"""The result of an attempt, from the value that user code returned or the exception that it raised.

See docs/architecture.md, "How an attempt ends".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import isasyncgen, isawaitable, iscoroutine, isgenerator
from logging import getLogger
from typing import Any, TypeAlias, TypeVar

import msgspec
import trio

from sagakit import errors
from sagakit.binding.wrong_loop import advised
from sagakit.definition import Codec, Done, Function, NodeDefinition, Reject, RetryPolicy
from sagakit.definition import NotDone as DidNotHappen
from sagakit.definition import Retry as CallAgain
from sagakit.definition.nesting import check_nesting
from sagakit.definition.raised import is_interrupt, mistake, plain, told, utf8
from sagakit.definition.user_lines import line_of
from sagakit.engine import (
    ArgumentsUnreadable,
    AttemptResult,
    Call,
    Compensating,
    Complete,
    Error,
    NotHappened,
    RetryLater,
)

V = TypeVar("V")
Keep: TypeAlias = Callable[[Codec, object], msgspec.Raw]
"""Function that returns a value as it is kept. Raises Unwritable."""

_log = getLogger("sagakit.step")

NOT_AWAITED: str = "it returned a coroutine or a generator, which nobody runs: let it return the answer itself"
NOT_RUN: str = "it returned a coroutine or a generator, which nobody runs: make it a plain function, or `async def`"


def classify(function: Function, error: BaseException) -> AttemptResult:
    """Return the result of an attempt that raised: refused, to be called again, known not done, or unknown.

    Text and attributes of an exception are the user's, so that reading them may raise. A group of equal leaves is
    that leaf. Where they differ, the result is the strongest leaf that hides no other: the attempt is known not done
    only if every leaf says so. It is refused only then, too, since a refused step is not undone.
    """
    results = [_classified(function, leaf) for leaf in _leaves(error, function.policy)]
    result = results[0] if all(one == results[0] for one in results) else _together(function, results, error)
    return msgspec.structs.replace(result, where=line_of(error, function.fn)) if isinstance(result, Error) else result


def _leaves(error: BaseException, policy: RetryPolicy) -> Iterator[BaseException]:
    """Yield the exceptions in a group. A group that the policy names, or that is a refusal itself, is one leaf."""
    if isinstance(error, BaseExceptionGroup) and not isinstance(error, (Reject, CallAgain, *_named_groups(policy))):
        for one in error.exceptions:
            yield from _leaves(one, policy)
    else:
        yield error


def _named_groups(policy: RetryPolicy) -> Iterator[type[BaseException]]:
    return (kind for kind in (*policy.reject_on, *policy.not_done_on) if issubclass(kind, BaseExceptionGroup))


def _together(function: Function, results: Sequence[AttemptResult], error: BaseException) -> AttemptResult:
    not_done = all(isinstance(one, Compensating) or getattr(one, "not_done", False) for one in results)
    unread = [one for one in results if isinstance(one, ArgumentsUnreadable)]
    if unread:
        return msgspec.structs.replace(unread[0], not_done=not_done)
    refusals = [one for one in results if isinstance(one, Compensating)]
    if refusals and not_done:
        return _all_of(refusals)
    again = [one for one in results if isinstance(one, RetryLater)]
    if again:
        reason = again[0].reason if len(again) == len(results) else told(error)
        waits = [one.after for one in again if one.after is not None]
        return RetryLater(reason=reason, after=max(waits, default=None), not_done=not_done)
    return Error(error=advised(error, function), not_done=not_done)


def _all_of(refusals: Sequence[Compensating]) -> Compensating:
    """Return the first refusal, with the others in its detail."""
    first, *others = dict.fromkeys((one.code, bytes(one.detail)) for one in refusals)
    told_too = [{"code": code, "detail": msgspec.Raw(detail)} for code, detail in others]
    detail = msgspec.json.decode(first[1], type=dict[str, msgspec.Raw]) | ({"others": told_too} if told_too else {})
    return Compensating(code=first[0], detail=msgspec.Raw(msgspec.json.encode(detail)))


def _classified(function: Function, error: BaseException) -> AttemptResult:
    """Return the result of an attempt that raised a single exception."""
    policy = function.policy
    if isinstance(error, errors.UnreadableValue):
        return ArgumentsUnreadable(error=plain(error), not_done=isinstance(error, policy.not_done_on))
    try:
        if isinstance(error, Reject):
            return Compensating(code=_text(error.code), detail=_as_json(error.detail))
        if isinstance(error, CallAgain):
            after = None if error.after is None else error.after.total_seconds()
            return RetryLater(reason=_text(error.reason), after=after, not_done=error.not_done)
        if isinstance(error, policy.reject_on):
            return Compensating(code=type(error).__name__, detail=_as_json({"message": str(error)}))
    except BaseException as fault:  # of the user's own class: its kind is known all the same, and decides
        if is_interrupt(fault):
            raise
        _log.warning(
            "%s raised while its text was read: the kind of the exception decides alone",
            type(error).__name__,
            exc_info=True,
        )
        if not isinstance(error, CallAgain):
            return Compensating(code=type(error).__name__)
    return Error(error=advised(error, function), not_done=isinstance(error, policy.not_done_on))


def cancellation_in(error: BaseException) -> BaseException | None:
    """Return the part of an error that is trio's cancellation; None if it has none.

    The cancellation is the attempt's own only while the attempt is being cancelled.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[0]
    return error if isinstance(error, trio.Cancelled) else None


def _text(value: object) -> str:
    return utf8(value if isinstance(value, str) else str(value))


def _as_json(detail: dict[str, Any]) -> msgspec.Raw:
    """Return a refusal's detail as JSON. A detail that cannot be encoded is described in words: it stays a refusal."""
    try:
        data = msgspec.json.encode(detail, enc_hook=repr)
        check_nesting(data)
        return msgspec.Raw(data)
    except BaseException as error:  # a user may put any object there
        if is_interrupt(error):
            raise
        return msgspec.Raw(msgspec.json.encode({"not_encodable": told(detail)}))


def finished(value: V, *, may_yield: bool = False) -> V:
    """Return the answer of a function that is called in place. Raises TypeError for a coroutine or a generator."""
    if isawaitable(value) or isasyncgen(value) or (isgenerator(value) and not may_yield):
        if iscoroutine(value):
            value.close()  # or Python would warn that it was never awaited
        raise TypeError(NOT_AWAITED)
    return value


def answer_of(node: NodeDefinition, call: Call, value: Any, keep: Keep) -> AttemptResult:
    """Return the result of a call that returned `value`, which `keep` encodes.

    The call has happened, so a value that cannot be kept leaves its outcome unknown.
    """
    try:
        return _answer(node, call, value, keep)
    except BaseException as error:  # of what was returned
        return Error(error=f"its result cannot be encoded: {mistake(error)}")


_RAISED = (Reject, CallAgain)
_TELLING = (*_RAISED, DidNotHappen, Done)
"""The classes by which a function tells more than a result."""


def _misplaced(call: Call, value: Any) -> str:
    """Return what is wrong with a value that was to be raised, or that only a check returns; empty if nothing is."""
    kind = value if isinstance(value, type) else type(value)
    if not issubclass(kind, _TELLING):  # nearly always
        return ""
    if issubclass(kind, _RAISED):
        return f"it returned {told(value)}, which says nothing: raise it, as in `raise {kind.__name__}(...)`"
    if call.kind == "do" and issubclass(kind, DidNotHappen):
        return "it returned NotDone, which is for checks: raise Retry(reason, not_done=True), or Reject(code)"
    if call.kind == "do" and issubclass(kind, Done):
        return "it returned Done, which is for checks: return the result itself"
    return ""


def _answer(node: NodeDefinition, call: Call, value: Any, keep: Keep) -> AttemptResult:
    misplaced = _misplaced(call, value)
    if misplaced:
        return Error(error=misplaced)
    if call.kind == "do":
        return Complete(keep(node.result, value))
    if call.kind == "undo":
        return Error(error=NOT_RUN) if isgenerator(value) or isasyncgen(value) else Complete()
    match value:
        case Done(result=result):
            return Complete(keep(node.result, result))
        case DidNotHappen():
            return NotHappened()
        case None:
            return Error(error="the check cannot tell")
        case _:
            return Error(error=f"a check answers Done, NotDone or None, not {told(value)}")
