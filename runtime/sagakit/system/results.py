"""What user code has returned or raised, as the engine's result of an attempt (DESIGN 5)."""

from __future__ import annotations

from inspect import isasyncgen, isawaitable, isgenerator
from logging import getLogger
from typing import Any

import msgspec
import trio

from sagakit import errors
from sagakit.definition import Done, Function, NodeDefinition, Reject
from sagakit.definition import NotDone as DidNotHappen
from sagakit.definition import Retry as CallAgain
from sagakit.definition.nesting import check_nesting
from sagakit.definition.raised import is_interrupt, mistake, plain, told, utf8
from sagakit.engine import AttemptResult, Call, Compensating, Complete, Error, NotDone, Retry, Unreadable

_log = getLogger("sagakit.step")

NOT_RUN: str = "it returned a coroutine or a generator, which nobody runs: make it a plain function, or `async def`"


def classify(function: Function, error: BaseException) -> AttemptResult:
    """Refused, to be called again, known not done, or unknown. Nothing that an exception says of itself is trusted."""
    policy = function.policy
    unread = unreadable_in(error)
    if unread is not None:
        return Unreadable(error=plain(unread), not_done=isinstance(error, policy.not_done_on))
    try:
        if isinstance(error, Reject):
            return Compensating(code=_text(error.code), detail=_as_json(error.detail))
        if isinstance(error, CallAgain):
            after = None if error.after is None else error.after.total_seconds()
            return Retry(reason=_text(error.reason), after=after, not_done=error.not_done)
        if isinstance(error, policy.reject_on):
            return Compensating(code=type(error).__name__, detail=_as_json({"message": str(error)}))
    except BaseException as fault:  # of the user's own class: what kind it is shall count
        if is_interrupt(fault):
            raise
        _log.warning("%s cannot say what it is about", type(error).__name__, exc_info=True)
        if not isinstance(error, CallAgain):
            return Compensating(code=type(error).__name__)
    return Error(error=told(error), not_done=isinstance(error, policy.not_done_on))


def cancellation_in(error: BaseException) -> BaseException | None:
    """What of it is trio's cancellation: the attempt's only while it is being cancelled, else somebody else's."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[0]
    return error if isinstance(error, trio.Cancelled) else None


def unreadable_in(error: BaseException) -> errors.Unreadable | None:
    """What of it says that a result cannot be read, for which the function has asked its `ctx`."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := unreadable_in(one)) is not None), None)
    return error if isinstance(error, errors.Unreadable) else None


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


def is_unfinished(value: object) -> bool:
    """Whether something was returned that only begins once somebody runs it."""
    return isawaitable(value) or isgenerator(value) or isasyncgen(value)


def answer_of(node: NodeDefinition, call: Call, value: Any) -> AttemptResult:
    """The result of a call that has returned this: it has happened, so what cannot be kept leaves it unknown."""
    try:
        return _answer(node, call, value)
    except BaseException as error:  # of what was returned
        return Error(error=f"its result cannot be encoded: {mistake(error)}")


def _answer(node: NodeDefinition, call: Call, value: Any) -> AttemptResult:
    if call.kind == "do":
        return Complete(msgspec.Raw(node.result.encode(value)))
    if call.kind == "undo":
        return Error(error=NOT_RUN) if value is not None and is_unfinished(value) else Complete()
    match value:
        case Done(result=result):
            return Complete(msgspec.Raw(node.result.encode(result)))
        case DidNotHappen():
            return NotDone()
        case None:
            return Error(error="the check cannot tell")
        case _:
            return Error(error=f"a check answers Done, NotDone or None, not {told(value)}")
