"""What user code has returned or raised, as the engine's result of an attempt.

See docs/architecture.md, "How an attempt ends".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import isasyncgen, isawaitable, iscoroutine, isgenerator
from logging import getLogger
from typing import Any, TypeVar

import msgspec
import trio

from sagakit import errors
from sagakit.binding.wrong_loop import advised
from sagakit.definition import Done, Function, NodeDefinition, Reject, RetryPolicy
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

_log = getLogger("sagakit.step")

NOT_AWAITED: str = "it returned a coroutine or a generator, which nobody runs: let it return the answer itself"
NOT_RUN: str = "it returned a coroutine or a generator, which nobody runs: make it a plain function, or `async def`"


def classify(function: Function, error: BaseException) -> AttemptResult:
    """Refused, to be called again, known not done, or unknown. Nothing that an exception says of itself is trusted.

    A group is what all of its leaves are. Where they differ, it is the strongest of them that forgets no other: the
    attempt is known not done only if every leaf says so, and refused only then, too, for a refused step is not undone.
    """
    results = [_classified(function, leaf) for leaf in _leaves(error, function.policy)]
    result = results[0] if all(one == results[0] for one in results) else _together(function, results, error)
    return msgspec.structs.replace(result, where=line_of(error, function.fn)) if isinstance(result, Error) else result


def _leaves(error: BaseException, policy: RetryPolicy) -> Iterator[BaseException]:
    """What a group is made of; a group that the policy names, or that is a refusal itself, is one leaf."""
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
    """The first refusal, with the others in its detail."""
    first, *others = dict.fromkeys((one.code, bytes(one.detail)) for one in refusals)
    told_too = [{"code": code, "detail": msgspec.Raw(detail)} for code, detail in others]
    detail = msgspec.json.decode(first[1], type=dict[str, msgspec.Raw]) | ({"others": told_too} if told_too else {})
    return Compensating(code=first[0], detail=msgspec.Raw(msgspec.json.encode(detail)))


def _classified(function: Function, error: BaseException) -> AttemptResult:
    """What one exception means that is no group."""
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
    except BaseException as fault:  # of the user's own class: what kind it is shall count
        if is_interrupt(fault):
            raise
        _log.warning("%s cannot say what it is about", type(error).__name__, exc_info=True)
        if not isinstance(error, CallAgain):
            return Compensating(code=type(error).__name__)
    return Error(error=advised(error, function), not_done=isinstance(error, policy.not_done_on))


def cancellation_in(error: BaseException) -> BaseException | None:
    """What of it is trio's cancellation: the attempt's only while it is being cancelled, else somebody else's."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[0]
    return error if isinstance(error, trio.Cancelled) else None


def _text(value: object) -> str:
    return utf8(value if isinstance(value, str) else str(value))


def _as_json(detail: dict[str, Any]) -> msgspec.Raw:
    """What cannot be encoded is told in words: a refusal stays one."""
    try:
        data = msgspec.json.encode(detail, enc_hook=repr)
        check_nesting(data)
        return msgspec.Raw(data)
    except BaseException as error:  # there is no rule for what a user puts there
        if is_interrupt(error):
            raise
        return msgspec.Raw(msgspec.json.encode({"not_encodable": told(detail)}))


def finished(value: V, *, may_yield: bool = False) -> V:
    """What a function has returned that is called in place. Raises TypeError for what only begins once it is run."""
    if isawaitable(value) or isasyncgen(value) or (isgenerator(value) and not may_yield):
        if iscoroutine(value):
            value.close()  # the error is enough: no warning besides
        raise TypeError(NOT_AWAITED)
    return value


def answer_of(node: NodeDefinition, call: Call, value: Any) -> AttemptResult:
    """The result of a call that has returned this: it has happened, so what cannot be kept leaves it unknown."""
    try:
        return _answer(node, call, value)
    except BaseException as error:  # of what was returned
        return Error(error=f"its result cannot be encoded: {mistake(error)}")


_RAISED = (Reject, CallAgain)


def _misplaced(call: Call, value: Any) -> str:
    """Return what is wrong with a value that was to be raised, or that only a check returns; empty if nothing is."""
    kind = value if isinstance(value, type) else type(value)
    if issubclass(kind, _RAISED):
        return f"it returned {told(value)}, which says nothing: raise it, as in `raise {kind.__name__}(...)`"
    if call.kind == "do" and issubclass(kind, DidNotHappen):
        return "it returned NotDone, which is for checks: raise Retry(reason, not_done=True), or Reject(code)"
    if call.kind == "do" and issubclass(kind, Done):
        return "it returned Done, which is for checks: return the result itself"
    return ""


def _answer(node: NodeDefinition, call: Call, value: Any) -> AttemptResult:
    misplaced = _misplaced(call, value)
    if misplaced:
        return Error(error=misplaced)
    if call.kind == "do":
        return Complete(msgspec.Raw(node.result.encode(value)))
    if call.kind == "undo":
        return Error(error=NOT_RUN) if isgenerator(value) or isasyncgen(value) else Complete()
    match value:
        case Done(result=result):
            return Complete(msgspec.Raw(node.result.encode(result)))
        case DidNotHappen():
            return NotHappened()
        case None:
            return Error(error="the check cannot tell")
        case _:
            return Error(error=f"a check answers Done, NotDone or None, not {told(value)}")
