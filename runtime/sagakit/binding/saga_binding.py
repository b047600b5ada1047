"""One definition with the instance that the worker lends it: calls user code, and says how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property, partial
from inspect import isawaitable
from logging import getLogger
from math import inf
from typing import Any, NamedTuple, assert_never

import msgspec
import trio

from sagakit import errors
from sagakit.binding.classify import answer_of, cancellation_in, classify, finished
from sagakit.binding.heartbeat import Heartbeat
from sagakit.binding.lenders import CallEnvironment
from sagakit.binding.permit import CallPermit, CallRevoked
from sagakit.binding.wrong_loop import advised_in_place
from sagakit.definition import (
    Context,
    Definition,
    Function,
    Node,
    NodeDefinition,
    OldSaga,
    Plan,
    Saga,
    SagaSchema,
    compiled,
    saga_schema,
    schema_digest,
)
from sagakit.definition.plan import ITEM, item_name
from sagakit.definition.raised import is_interrupt, mistake, told
from sagakit.definition.user_lines import line_of
from sagakit.engine import (
    ArgumentsUnreadable,
    AttemptResult,
    Call,
    Decide,
    Decided,
    Error,
    Inbound,
    MakeOutput,
    OutputMade,
    Prepare,
    Prepared,
    Question,
    Record,
    migrated,
)
from sagakit.engine.keys import CallKind
from sagakit.engine.record import NOTHING
from sagakit.errors import CannotMigrate, DefinitionError
from sagakit.times import epoch_seconds

_log = getLogger("sagakit.step")

_PREPARED = {"each": "items", "timer": "timer", "child": "input of the child"}
"""What the error of a function is called that computes what a node of this kind starts with."""

REVOKED = Error(error="revoked: the saga turned back before the call was made", not_done=True)


class _Callee(NamedTuple):
    """What a call of one kind of one node comes to."""

    node: NodeDefinition
    function: Function
    queues: bool
    """Whether a call may have to wait for its turn: for the limit, for a thread, or for asyncio."""


class SagaBinding:
    """A saga instance with its compiled definition. Shared by all sagas of the type in this worker."""

    def __init__(self, saga: Saga[Any, Any]) -> None:
        self.saga = saga
        self.definition: Definition = compiled(type(saga))
        self.plan: Plan = self.definition.plan
        self._callees = _callees(self.definition)

    @cached_property
    def schema(self) -> SagaSchema:
        """What its sagas keep, as JSON Schemas."""
        return saga_schema(self.definition)

    @cached_property
    def schema_digest(self) -> str:
        """Tells its schema from others."""
        return schema_digest(self.schema)

    def encode_input(self, value: object) -> bytes:
        """Raises InvalidInput."""
        return self.definition.encode_input(value)

    def cannot_read(self, value: bytes | msgspec.Raw) -> str:
        """Why this worker cannot read an input, which is JSON; empty if it can."""
        try:
            self.definition.input.decode(value)
        except errors.UnreadableValue as error:
            return error.reason
        return ""

    def decode_output(self, output: msgspec.Raw) -> Any:
        """The saga's typed output; None where the definition computes none. Raises Unreadable."""
        return self.definition.output.decode(output)

    # ------------------------------------------------------------- versions

    @property
    def can_migrate(self) -> bool:
        """Whether the class says how an older version's saga becomes one of this."""
        return type(self.saga).migrate is not Saga.migrate

    def migrate(self, record: Record) -> Record:
        """An older version's record under this plan. Raises CannotMigrate."""
        done = {name: log for name, log in record.steps.items() if log.state == "done" and log.result is not NOTHING}
        try:
            old = OldSaga(
                version=record.definition_version,
                input=msgspec.json.decode(record.input),
                states={name: log.state for name, log in record.steps.items() if ITEM not in name},
                results={name: msgspec.json.decode(log.result) for name, log in done.items()},
            )
            finished(self.saga.migrate(old))  # type: ignore[func-returns-value]  # it may return a coroutine all the same
            value = self.encode_input(self.definition.input.decode(msgspec.json.encode(old.input)))
            results = {name: self._migrated_result(old, name) for name in done if ITEM not in name}
            names = dict(old.names)
        except BaseException as error:  # user code, and what it made of the values
            where = line_of(error, type(self.saga))
            raise CannotMigrate(f"migrate: {mistake(error)}{where and f' at {where}'}") from error
        kept = {name: result for name, result in results.items() if result is not None}
        return migrated(self.plan, record, input=msgspec.Raw(value), names=names, results=kept)

    def _migrated_result(self, old: OldSaga, name: str) -> msgspec.Raw | None:
        """A result as the new version has it; None if the step is gone."""
        new = old.names.get(name)
        if new is None or new not in self.definition.nodes:
            return None
        codec = self.definition.nodes[new].result
        return msgspec.Raw(codec.encode(codec.decode(msgspec.json.encode(old.results[name]))))

    # --------------------------------------------------------------- calls

    def bound(self, call: Call) -> float:
        """Seconds after which the caller is to cancel `perform`; infinite where it minds the time by itself."""
        callee = self._callee(call)
        return inf if callee is None or _minds_time(callee, call) else call.timeout

    async def perform(
        self, call: Call, record: Record, environment: CallEnvironment, permit: CallPermit
    ) -> AttemptResult:
        """Make one call, unless the permit is revoked before; returns only when the user's code has.

        Any exception ends the attempt, not the worker: what is not classified is unknown (P3).
        """
        if permit.is_revoked():
            return REVOKED
        callee = self._callee(call)
        if callee is None:
            permit.use()
            return await environment.children.call(call, record, self.plan.node(call.step).child_type)
        if not _minds_time(callee, call):
            return await self._perform(callee, call, record, environment, permit, None)
        ends = inf
        with trio.CancelScope() as scope:
            permit.queue = scope
            async with environment.limiters.of(callee.function.limit):
                ends = trio.current_time() + call.timeout
                beat = Heartbeat(environment, scope, ends, call.heartbeat or inf)
                beat.extend()
                return await self._perform(callee, call, record, environment, permit, beat)
        if permit.is_revoked():
            return REVOKED
        if trio.current_time() < ends:
            return Error(error=f"no heartbeat for {call.heartbeat:g} s")
        return timed_out(call)

    def _callee(self, call: Call) -> _Callee | None:
        """None for a child: the runtime itself calls it."""
        return self._callees.get((self.plan.step_of(call.step), call.kind))

    async def _perform(
        self,
        callee: _Callee,
        call: Call,
        record: Record,
        environment: CallEnvironment,
        permit: CallPermit,
        beat: Callable[[], None] | None,
    ) -> AttemptResult:
        node, function, _ = callee
        try:
            args = self._arguments(node, call, record, beat)
        except errors.UnreadableValue as error:
            return ArgumentsUnreadable(error=f"its arguments cannot be read: {error}")
        try:
            value = await self.invoke(call, function, environment, permit, args)
        except CallRevoked:
            return REVOKED
        except BaseException as error:  # it ends the attempt, not the worker
            if is_interrupt(error):
                raise
            _log.debug("%s attempt %d raised", call.key, call.attempt, exc_info=error)
            cancellation = cancellation_in(error) if trio.current_effective_deadline() == -inf else None
            if cancellation is not None:  # what else is in it has nobody to tell: its time is over
                raise cancellation from None
            return classify(function, error)
        return answer_of(node, call, value)

    async def invoke(
        self, call: Call, function: Function, environment: CallEnvironment, permit: CallPermit, args: tuple[Any, ...]
    ) -> Any:
        """Run the user's function where it belongs. Raises CallRevoked if the permit was revoked before."""
        value = await self._called(function, environment, permit, args)
        if not isawaitable(value):
            return value
        return await (environment.call_asyncio(_await, value) if function.backend == "asyncio" else value)

    async def _called(
        self, function: Function, environment: CallEnvironment, permit: CallPermit, args: tuple[Any, ...]
    ) -> Any:
        match function.runner:
            case "trio":
                permit.use()
                return await function.fn(*args)
            case "asyncio":
                return await environment.call_asyncio(permit.with_coroutine(function.fn), *args)
            case "thread":
                (value,) = await environment.call_thread(permit.with_thread(function.fn), *args)
                return value
            case _:
                assert_never(function.runner)

    def _arguments(
        self, node: NodeDefinition, call: Call, record: Record, beat: Callable[[], None] | None
    ) -> tuple[Any, ...]:
        ctx = self._context(record, call, beat)
        value = self.definition.input.decode(record.input)
        _, _, number = call.step.partition(ITEM)
        item = () if not number or node.given is None else (self._given(node, record)[int(number)],)
        if call.kind == "do":
            results = item if number else (self._result(record, name) for name in node.inputs)
            return (self.saga, value, *results, ctx)
        if call.kind == "check":
            return (self.saga, value, ctx)
        left = record.steps[call.step].result
        return (self.saga, value, *item, None if left is NOTHING else node.result.decode(left), ctx)

    def _given(self, node: NodeDefinition, record: Record) -> Any:
        assert node.given is not None
        return node.given.decode(record.steps[node.name].given)

    def _context(self, record: Record, call: Call | None = None, beat: Callable[[], None] | None = None) -> Context:
        ctx = Context(
            saga_type=record.saga_type,
            saga_id=record.saga_id,
            run=record.run,
            epoch=record.epoch,
            results=partial(self._result_for, record),
            beat=beat,
        )
        if call is not None:
            ctx.key, ctx.action_key, ctx.attempt = call.key, call.action_key, call.attempt
        return ctx

    def _result_for(self, record: Record, node: object) -> Any:
        """The result that a function asks its context for. Raises DefinitionError, also for what is not a node."""
        name, own = getattr(node, "name", ""), type(self.saga)
        if not isinstance(node, Node) or getattr(own, name, None) is not node:
            example = f"{own.__name__}.{self.plan.nodes[0].name}"
            raise DefinitionError(f"ctx.result({node!r}): write a node of {own.__name__}, such as {example}")
        return self._result(record, name)

    def _result(self, record: Record, step: str) -> Any:
        """A step's result, None if it was skipped. Raises DefinitionError."""
        log = record.steps.get(step)
        if log is None or log.state not in ("done", "skipped"):
            raise DefinitionError(f"the result of {step!r} is not known at this point: let the step come after it")
        if log.state == "skipped":
            return None
        codec = self.definition.nodes[step].result
        if self.plan.by_name[step].kind == "each":
            return [codec.decode(record.steps[item_name(step, number)].result) for number in range(log.items)]
        return codec.decode(log.result)

    # ------------------------------------------------------------- messages

    def refuses(self, message: Inbound) -> str:
        """What speaks against a message's payload, if anything: it is not of the type that the node has."""
        node = self._node_of(message)
        if node is None:
            return ""
        try:
            node.result.decode(message.payload)
        except errors.UnreadableValue as error:
            return f"the payload is not what {message.step} takes: {error.reason}"
        return ""

    def _node_of(self, message: Inbound) -> NodeDefinition | None:
        """Return the node whose result a message brings, if it brings one."""
        if message.kind in ("signal", "report", "complete-step"):
            return self.definition.nodes.get(self.plan.step_of(message.step))
        if message.kind != "child-ended" or message.code is not None or message.sender is None:
            return None
        of_type = (node.name for node in self.plan.nodes if node.child_type == message.sender.saga_type)
        return self.definition.nodes.get(next(of_type, ""))  # all children of one type give the same

    # ----------------------------------------------------------- questions

    def answer(self, question: Question, record: Record) -> Decided | Prepared | OutputMade:
        """Evaluate a `when=`, what a node starts with, or the output.

        They are free of effects, so nothing needs to be written before. What they raise the engine is told.
        """
        try:
            value = self.definition.input.decode(record.input)
            return self._answer(question, record, value, self._context(record))
        except BaseException as error:  # of the function, or of what it is given
            return self._no_answer(question, error)

    def _no_answer(self, question: Question, error: BaseException) -> Decided | Prepared | OutputMade:
        """Raises what concerns the whole program."""
        unreadable = isinstance(error, errors.UnreadableValue)
        text, where = advised_in_place(error, mistake(error)), line_of(error, type(self.saga))
        match question:
            case Decide():
                return Decided(question.step, error=f"when: {text}", unreadable=unreadable, where=where)
            case Prepare():
                what = _PREPARED[self.plan.by_name[question.step].kind]
                return Prepared(question.step, error=f"{what}: {text}", unreadable=unreadable, where=where)
            case MakeOutput():
                return OutputMade(error=text, where=where)
            case _:
                assert_never(question)

    def _answer(self, question: Question, record: Record, value: Any, ctx: Context) -> Decided | Prepared | OutputMade:
        match question:
            case Decide():
                condition = self.definition.nodes[question.step].condition
                assert condition is not None
                return Decided(question.step, run=bool(finished(condition(value, ctx))))
            case Prepare():
                return self._prepared(question.step, record, value, ctx)
            case MakeOutput():
                return OutputMade(msgspec.Raw(self.definition.output.encode(finished(self.saga.output(value, ctx)))))
            case _:
                assert_never(question)

    def _prepared(self, step: str, record: Record, value: Any, ctx: Context) -> Prepared:
        node = self.definition.nodes[step]
        assert node.prepare is not None
        match self.plan.by_name[step].kind:
            case "timer":
                return Prepared(step, due=_due(finished(node.prepare(value, ctx)), record.updated_at))
            case "each":
                given = [self._result(record, name) for name in node.inputs] or [value, ctx]
                items = _items(finished(node.prepare(*given), may_yield=True))
                return Prepared(step, _encoded(node, items), len(items))
            case _:
                return Prepared(step, _encoded(node, finished(node.prepare(value, ctx))))


async def _await(value: Awaitable[Any]) -> Any:
    """What a plain function has returned that wraps a coroutine function."""
    return await value


def _encoded(node: NodeDefinition, value: object) -> msgspec.Raw:
    assert node.given is not None
    return msgspec.Raw(node.given.encode(value))


def _items(found: object) -> list[Any]:
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise TypeError(f"what computes the items returned {told(found)}: return a list")
    return list(found)


def _due(wait: object, now: float) -> float:
    if isinstance(wait, timedelta):
        return now + wait.total_seconds()
    if not isinstance(wait, datetime):  # a number might mean either
        raise TypeError(
            f"the timer's function returned {wait!r}: return a timedelta, such as timedelta(seconds=5), or a datetime "
            "with a time zone"
        )
    return epoch_seconds(wait)


def timed_out(call: Call) -> AttemptResult:
    """The attempt has had its time."""
    return Error(error=f"timeout after {call.timeout:g} s")


def _callees(definition: Definition) -> dict[tuple[str, CallKind], _Callee]:
    found: dict[tuple[str, CallKind], _Callee] = {}
    for name, node in definition.nodes.items():
        functions: dict[CallKind, Function | None] = {"do": node.action, "check": node.check, "undo": node.undo}
        for kind, function in functions.items():
            if function is not None:
                queues = function.limit is not None or function.runner != "trio"
                found[name, kind] = _Callee(node, function, queues)
    return found


def _minds_time(callee: _Callee, call: Call) -> bool:
    """Whether the call has a scope of its own: its time begins with its turn, or it wants signs of life."""
    return callee.queues or call.heartbeat is not None
