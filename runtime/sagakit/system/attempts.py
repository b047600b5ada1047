"""One definition with the instance that the worker lends it: calls user code, and says how it ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from logging import getLogger
from typing import Any, assert_never

import msgspec
import trio

from sagakit.definition import Ctx, Definition, Done, NodeDefinition, Saga, compiled
from sagakit.definition import NotDone as DidNotHappen
from sagakit.engine import (
    AttemptResult,
    Call,
    Complete,
    Decide,
    Decided,
    Ended,
    Error,
    MakeOutput,
    NotDone,
    OutputMade,
    Question,
    Record,
)
from sagakit.engine.record import NOTHING
from sagakit.system.services import Services

_log = getLogger("sagakit.step")


class SagaBinding:
    """A saga instance with its compiled definition. Shared by all sagas of the type in this worker."""

    def __init__(self, saga: Saga[Any, Any]) -> None:
        self.saga = saga
        self.definition: Definition = compiled(type(saga))
        self.plan = self.definition.plan

    def encode_input(self, value: object) -> bytes:
        """Raises InvalidInput."""
        return self.definition.encode_input(value)

    def decode_output(self, output: msgspec.Raw) -> Any:
        """The saga's typed output; None where the definition computes none."""
        return None if output is NOTHING else self.definition.decode_output(output)

    # --------------------------------------------------------------- calls

    async def perform(self, call: Call, record: Record, services: Services) -> Ended:
        """Make one call, bounded by its timeout; returns only when the user's code is no longer running."""
        node = self.definition.nodes[call.step]
        try:
            fn, args = self._prepare(node, call, record)
        except msgspec.DecodeError as error:
            result: AttemptResult = Error(error=f"its arguments cannot be read back: {error}", not_done=True)
        else:
            result = await self._bounded(node, call, partial(_invoke, node, services, fn, args))
        return Ended(call.step, call.call, result, services.random())

    async def _bounded(self, node: NodeDefinition, call: Call, invoke: Callable[[], Any]) -> AttemptResult:
        """Any exception ends the attempt, not the worker: what is not classified is unknown (P3)."""
        try:
            with trio.move_on_after(call.timeout):
                return _answer(node, call, await invoke())
        except Exception as error:
            _log.info("%s attempt %d: %r", call.key, call.attempt, error, exc_info=_log.isEnabledFor(10))
            return node.classify(error, call.kind)
        return Error(error=f"timeout after {call.timeout:g} s")

    def _prepare(self, node: NodeDefinition, call: Call, record: Record) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        ctx = self._context(record, call)
        order = self.definition.decode_input(record.input)
        if call.kind == "do":
            return node.fn, (self.saga, order, *(ctx.result_of(name) for name in node.inputs), ctx)
        if call.kind == "check":
            assert node.check is not None
            return node.check, (self.saga, order, ctx)
        assert node.undo is not None
        log = record.steps[call.step]
        result = None if log.result is NOTHING else node.decode_result(log.result)
        return node.undo, (self.saga, order, result, ctx)

    def _context(self, record: Record, call: Call | None) -> Ctx:
        return Ctx(
            definition=self.definition,
            results={name: log.result for name, log in record.steps.items() if log.state == "done"},
            skipped=frozenset(name for name, log in record.steps.items() if log.state == "skipped"),
            saga_type=record.saga_type,
            saga_id=record.saga_id,
            run=record.run,
            epoch=record.epoch,
            key="" if call is None else call.key,
            action_key="" if call is None else call.action_key,
            attempt=0 if call is None else call.attempt,
        )

    # ----------------------------------------------------------- questions

    def answer(self, question: Question, record: Record) -> Decided | OutputMade:
        """Evaluate a `when=` or the output. They are free of effects, so nothing needs to be written before."""
        ctx = self._context(record, None)
        order = self.definition.decode_input(record.input)
        match question:
            case Decide():
                try:
                    return Decided(question.step, run=self.definition.nodes[question.step].decide(order, ctx))
                except Exception as error:  # the engine decides what becomes of it
                    return Decided(question.step, error=repr(error))
            case MakeOutput():
                try:
                    return OutputMade(self.definition.encode_output(self.saga.output(order, ctx)))
                except Exception as error:  # as above
                    return OutputMade(error=repr(error))
            case _:
                assert_never(question)


async def _invoke(node: NodeDefinition, services: Services, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    match node.backend_of(fn):
        case "trio":
            return await fn(*args)
        case "asyncio":
            return await services.call_asyncio(fn, *args)
        case "thread":
            return await trio.to_thread.run_sync(fn, *args, limiter=services.threads)


def _answer(node: NodeDefinition, call: Call, value: Any) -> AttemptResult:
    if call.kind == "do":
        return Complete(msgspec.Raw(node.encode_result(value)))
    if call.kind == "undo":
        return Complete()
    match value:
        case Done(result=result):
            return Complete(msgspec.Raw(node.encode_result(result)))
        case DidNotHappen():
            return NotDone()
        case None:
            return Error(error="the check had no answer")
        case _:
            return Error(error=f"a check answers Done, NotDone or None, not {value!r}")
