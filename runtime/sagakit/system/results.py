"""What user code has returned or raised, as the engine's result of an attempt (DESIGN 5)."""

from __future__ import annotations

from inspect import isasyncgen, isawaitable, isgenerator
from logging import getLogger
from typing import Any

import msgspec
import trio

from sagakit.definition import Done, Function, NodeDefinition, Reject
from sagakit.definition import NotDone as DidNotHappen
from sagakit.definition import Retry as CallAgain
from sagakit.engine import AttemptResult, Call, Compensating, Complete, Error, NotDone, Retry
from sagakit.engine.turn import shorten

_log = getLogger("sagakit.step")

NOT_RUN: str = "it returned a coroutine or a generator, which nobody runs: make it a plain function, or `async def`"

_INTERRUPTS = (KeyboardInterrupt, GeneratorExit)
"""All else that a user's function raises ends what it was called for: sys.exit(), another loop's cancellation."""


def classify(function: Function, error: BaseException) -> AttemptResult:
    """Refused, to be called again, known not done, or unknown. Nothing that an exception says of itself is trusted."""
    policy = function.policy
    try:
        if isinstance(error, Reject):
            return Compensating(code=_text(error.code), detail=_as_json(error.detail))
        if isinstance(error, CallAgain):
            after = None if error.after is None else error.after.total_seconds()
            return Retry(reason=_text(error.reason), after=after, not_done=error.not_done)
        if isinstance(error, policy.reject_on):
            return Compensating(code=type(error).__name__, detail=_as_json({"message": str(error)}))
    except Exception:  # of the user's own class: what kind it is shall count
        _log.warning("%s cannot say what it is about", type(error).__name__, exc_info=True)
        if not isinstance(error, CallAgain):
            return Compensating(code=type(error).__name__)
    return Error(error=told(error), not_done=isinstance(error, policy.not_done_on))


def is_interrupt(error: BaseException) -> bool:
    """Whether it concerns the whole program."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(_INTERRUPTS)[0] is not None
    return isinstance(error, _INTERRUPTS)


def cancellation_in(error: BaseException) -> BaseException | None:
    """What of it is trio's cancellation: the attempt's only while it is being cancelled, else somebody else's."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[0]
    return error if isinstance(error, trio.Cancelled) else None


def told(value: object) -> str:
    """In Python's words, if it has any."""
    try:
        return shorten(_text(repr(value)))
    except Exception:  # of the user's own class
        return type(value).__name__


def mistake(error: BaseException) -> str:
    """What a function that cannot wait has raised, in words. Raises it again if it concerns the whole program."""
    if is_interrupt(error):
        raise error
    return _text(error) if isinstance(error, msgspec.DecodeError) else told(error)


def _text(value: object) -> str:
    """As UTF-8 can carry it."""
    text = value if isinstance(value, str) else str(value)
    return text.encode(errors="backslashreplace").decode()


def _as_json(detail: dict[str, Any]) -> msgspec.Raw:
    """What cannot be encoded is told in words: a refusal stays one."""
    try:
        return msgspec.Raw(msgspec.json.encode(detail, enc_hook=repr))
    except Exception:  # there is no rule for what a user puts there
        return msgspec.Raw(msgspec.json.encode({"not_encodable": told(detail)}))


def is_unfinished(value: object) -> bool:
    """Whether something was returned that only begins once somebody runs it."""
    return isawaitable(value) or isgenerator(value) or isasyncgen(value)


def answer_of(node: NodeDefinition, call: Call, value: Any) -> AttemptResult:
    """What a call has returned. Raises what encoding it raises."""
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
            return Error(error=f"a check answers Done, NotDone or None, not {value!r}")
