"""A saga instance with its compiled definition: calls user code, and says how each call ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property, partial
from inspect import isawaitable
from logging import getLogger
from math import inf
from types import GeneratorType
from typing import Any, NamedTuple, assert_never

import msgspec
import trio

from sagakit import errors
from sagakit.binding.arguments import Arguments
from sagakit.binding.classify import answer_of, cancellation_in, classify
from sagakit.binding.heartbeat import Heartbeat
from sagakit.binding.lenders import CallEnvironment
from sagakit.binding.migrate import migrate_record
from sagakit.binding.permit import CallPermit, CallRevoked
from sagakit.binding.questions import Questions
from sagakit.binding.record_values import RecordValues
from sagakit.definition import (
    Codec,
    Definition,
    Function,
    NodeDefinition,
    Plan,
    Saga,
    SagaSchema,
    compiled,
    saga_schema,
    schema_digest,
)
from sagakit.definition.payloads import PLAIN_PAYLOADS, InSaga, Payloads
from sagakit.definition.raised import is_interrupt
from sagakit.engine import (
    ArgumentsUnreadable,
    AttemptResult,
    Call,
    Compensating,
    Decided,
    Error,
    Inbound,
    InboundKind,
    OutputMade,
    Prepared,
    Question,
    Record,
)
from sagakit.engine.keys import CallKind, kind_of, step_of
from sagakit.engine.value_claims import read_claim
from sagakit.engine.value_places import DETAIL, first_name, input_place, progress_part, result_part
from sagakit.naming import SagaKey

_log = getLogger("sagakit.step")

_EVIDENCE: frozenset[InboundKind] = frozenset({"reply", "report", "child-ended"})
REVOKED = Error(error="revoked: the saga turned back before the call was made", not_done=True)


class _Callee(NamedTuple):
    """The function of one node for calls of one kind."""

    node: NodeDefinition
    function: Function
    queues: bool
    """True if a call may have to wait for its turn: for the limit, for a thread, or for asyncio."""


class SagaBinding:
    """A saga instance with its compiled definition. All sagas of the type in this worker share it."""

    def __init__(self, saga: Saga[Any, Any], payloads: Payloads = PLAIN_PAYLOADS) -> None:
        self.saga = saga
        self.payloads = payloads
        self.values: RecordValues = RecordValues(payloads)
        self.definition: Definition = compiled(type(saga))
        self.plan: Plan = self.definition.plan
        self._callees = _callees(self.definition)
        self._arguments = Arguments(saga, self.definition, self.values)
        self._questions = Questions(saga, self.definition, self._arguments, payloads)
        self._plain: set[type] = set()
        """Types of returned values that are known not to be awaitable: `isawaitable` is slow."""

    @property
    def calls(self) -> Iterable[tuple[str, CallKind]]:
        """The steps with a function of the user's, each with the kind of call that the function is for."""
        return self._callees

    @cached_property
    def schema(self) -> SagaSchema:
        """The JSON Schemas of what its sagas keep."""
        return saga_schema(self.definition)

    @cached_property
    def schema_digest(self) -> str:
        """The digest that tells its schema from others."""
        return schema_digest(self.schema)

    def cannot_read(self, value: bytes | msgspec.Raw, saga: InSaga, part: str) -> str:
        """Return why this worker cannot read an input, which is JSON; an empty text if it can."""
        try:
            self.payloads.read(self.definition.input, value, saga, part)
        except errors.UnreadableValue as error:
            return error.reason
        return ""

    def can_begin(self, record: Record) -> bool:
        """Return True if a saga that has not begun may begin under this version: its input and signals fit."""
        nodes = self.plan.by_name
        fits = all(name in nodes and nodes[name].kind == "signal" for name in record.steps)
        return fits and not self.cannot_read(record.input, *input_place(record, record.parent))

    @property
    def can_migrate(self) -> bool:
        """True if the class says how an older version's saga becomes one of this version."""
        return type(self.saga).migrate is not Saga.migrate

    def migrate(self, record: Record) -> Record:
        """Return an older version's record under this plan. Raises CannotMigrate."""
        return migrate_record(self.saga, self.definition, record, self.payloads)

    def answer(self, question: Question, record: Record) -> Decided | Prepared | OutputMade:
        """Return the answer to a question of the engine. An error of the user's function is an answer, too."""
        return self._questions.answer(question, record)

    # --------------------------------------------------------------- calls

    def bound(self, call: Call) -> float:
        """Return the seconds after which the caller is to cancel `perform`; infinite if `perform` ends by itself."""
        callee = self._callee(call)
        return inf if callee is None or callee.queues or call.heartbeat is not None else call.timeout

    async def perform(
        self, call: Call, record: Record, environment: CallEnvironment, permit: CallPermit
    ) -> AttemptResult:
        """Make one call, unless the permit is revoked before; returns only when the user's code has.

        Any exception ends the attempt, not the worker: an exception that is not classified is unknown (P3).
        """
        if permit.is_revoked():
            return REVOKED
        callee = self._callee(call)
        if callee is None:
            permit.use()
            return await environment.children.call(call, record, self.plan.node(call.step).child_type)
        if not callee.queues and call.heartbeat is None:
            return await self._perform(callee, call, record, environment, permit, None)
        ends = inf
        with trio.CancelScope() as scope:
            permit.queue = scope
            async with environment.limiters.of(callee.function.limit):
                # the timeout does not include the wait for a place, so the time of the attempt begins here
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
        """Return the function to call; None for a child, which the runtime itself starts and undoes."""
        kind = call.kind
        return self._callees.get((call.step, kind)) or self._callees.get((self.plan.step_of(call.step), kind))

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
            args = self._arguments.of(call, node, record, beat)
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
            # a Cancelled while this scope is not being cancelled comes from a scope of the user's, and is an error
            cancellation = cancellation_in(error) if trio.current_effective_deadline() == -inf else None
            if cancellation is not None:  # other errors in the group have nobody to be told: the attempt has ended
                raise cancellation from None
            return self._sealed(classify(function, error))
        return answer_of(node, call, value, partial(self._kept, record, call.step))

    def _kept(self, record: Record, step: str, codec: Codec, value: object) -> msgspec.Raw:
        return self.payloads.write(codec, value, record, result_part(first_name(record, step)))

    def _sealed(self, result: AttemptResult) -> AttemptResult:
        """Return a result with its detail as it is to be kept."""
        if not isinstance(result, Compensating):
            return result
        return msgspec.structs.replace(result, detail=self.payloads.kept_or_why(result.detail, *DETAIL))

    async def invoke(
        self, call: Call, function: Function, environment: CallEnvironment, permit: CallPermit, args: tuple[Any, ...]
    ) -> Any:
        """Run the user's function in its loop or thread. Raises CallRevoked if the permit was revoked before."""
        match function.runner:
            case "trio":
                permit.use()
                value = await function.fn(*args)
            case "asyncio":
                value = await environment.call_asyncio(permit.with_coroutine(function.fn), *args)
            case "thread":
                (value,) = await environment.call_thread(permit.with_thread(function.fn, call.timeout), *args)
            case _:
                assert_never(function.runner)
        kind = type(value)
        if kind in self._plain:
            return value
        if not isawaitable(value):
            if kind is not GeneratorType:  # of which some are awaitable
                self._plain.add(kind)
            return value
        return await (environment.call_asyncio(_await, value) if function.backend == "asyncio" else value)

    # ------------------------------------------------------------- messages

    def taken(self, message: Inbound, key: str) -> Inbound:
        """Return a message as it is to be applied: its payload sealed, and with the reason if it does not fit.

        Evidence of what has happened elsewhere is taken even if this worker cannot open it: the saga is stuck where the
        value is asked for, until a worker has the key.
        """
        if read_claim(message.payload) is not None:
            why = "the payload has the form of a reference to a value that sagakit stores apart"
            return msgspec.structs.replace(message, refused=why)
        if message.kind == "heartbeat":
            part = progress_part(step_of(message.key))
            return msgspec.structs.replace(
                message, payload=self.payloads.kept(message.payload, SagaKey.parse(key), part)
            )
        brings_result, payload, refused = message.answer in ("", "done"), message.payload, ""
        step = step_of(message.key) if message.kind == "reply" else message.step
        saga, part = SagaKey.parse(key), result_part(step)
        try:
            if brings_result and message.code is None:
                plain = self._opened(message, saga, part)
                node = self._node_of(message)
                if node is not None and plain is not None:
                    node.result.decode(plain if len(memoryview(plain)) else b"null")
                payload = self.payloads.kept(payload, saga, part)
            else:
                payload = self.payloads.kept_or_why(payload, *DETAIL)
        except errors.DoesNotFit as error:
            refused = f"the payload is not what {step} takes: {error.reason}"
        return msgspec.structs.replace(message, payload=payload, refused=refused)

    def _opened(self, message: Inbound, saga: SagaKey, part: str) -> bytes | msgspec.Raw | None:
        try:
            return self.payloads.opened(message.payload, saga, part)
        except errors.UnreadableValue:
            if message.kind in _EVIDENCE:
                return None
            raise

    def refuses(self, message: Inbound, key: str) -> str:
        """Return why a message's payload is not of the type that its node has; an empty text if it is."""
        return self.taken(message, key).refused

    def _node_of(self, message: Inbound) -> NodeDefinition | None:
        """Return the node whose result a message brings, if it brings one."""
        if message.kind in ("signal", "report", "complete-step"):
            return self.definition.nodes.get(self.plan.step_of(message.step))
        if message.kind == "reply":
            # the reply to an undo brings no result; a node that was renamed is read when its result is asked for
            step = "" if message.answer != "done" or kind_of(message.key) == "undo" else step_of(message.key)
            return self.definition.nodes.get(step)
        if message.kind != "child-ended" or message.code is not None or message.sender is None:
            return None
        of_type = (node.name for node in self.plan.nodes if node.child_type == message.sender.saga_type)
        return self.definition.nodes.get(next(of_type, ""))  # all children of one type give the same


async def _await(value: Awaitable[Any]) -> Any:
    """Return the result of an awaitable that a plain function returned."""
    return await value


def timed_out(call: Call) -> AttemptResult:
    """Return the result of an attempt that used up its time."""
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
