"""A binding that watches each call of user code, and lets the faults of the schedule strike it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from sagakit.binding.lenders import CallEnvironment
from sagakit.binding.permit import CallPermit
from sagakit.binding.saga_binding import SagaBinding
from sagakit.definition import Function, Reject, Saga
from sagakit.definition.payloads import Payloads
from sagakit.engine import (
    ArgumentsUnreadable,
    AttemptResult,
    Call,
    Compensating,
    Complete,
    Error,
    NotHappened,
    Record,
    RetryLater,
)
from sagakit.testing.judge import Judge
from sagakit.testing.schedule import CallFault, CallFaultKind
from sagakit.testing.stubs import stubs_of
from sagakit.testing.trace import Called, Trace


class Injected(Exception):
    """A fault of the schedule, raised where user code would have been called."""


Again = Callable[[], Awaitable[Any]]


class Calling:
    """All calls of one run, across its workers: their faults, and the actions that are still to happen late."""

    def __init__(self, trace: Trace, judge: Judge, durable: Callable[[], bytes | None]) -> None:
        self.trace = trace
        self.judge = judge
        self.durable = durable
        self._count: Counter[tuple[str, str]] = Counter()
        self._late: dict[str, tuple[Called, Again]] = {}

    def fault_for(self, call: Call) -> CallFaultKind | None:
        """Count a call, and return its fault; None if it has none."""
        self._count[call.step, call.kind] += 1
        number = self._count[call.step, call.kind]
        for index, fault in enumerate(self.trace.faults.faults):
            if not isinstance(fault, CallFault) or (fault.step, fault.call) != (call.step, call.kind):
                continue
            if fault.first <= number < fault.first + fault.calls:
                self.trace.reached.add(index)
                return fault.kind
        return None

    def comes_late(self, called: Called, again: Again) -> None:
        """Keep an action that is to happen after its undo, or after the end of the run."""
        self._late[called.key] = (called, again)

    async def late(self, action_key: str | None = None) -> None:
        """Let the late action under this key happen now; without a key, all late actions."""
        for key in [action_key] if action_key is not None else list(self._late):
            if key not in self._late:
                continue
            called, again = self._late.pop(key)
            after = Called(
                step=called.step,
                kind="do",
                key=key,
                action_key=key,
                at=trio.current_time(),
                executed=1,
                late=True,
                injected=True,
            )
            self.trace.calls.add(after)
            try:
                await again()
                after.ended = "done"
            except Exception as error:  # as it must: the contract makes the key of an undone action unusable
                after.ended, after.error = "not done", repr(error)


class WatchedBinding(SagaBinding):
    """The binding of the saga under test; its children have plain bindings."""

    def __init__(self, calling: Calling, saga: Saga[Any, Any], payloads: Payloads) -> None:
        super().__init__(saga, payloads)
        self._calling = calling
        self._stubs = stubs_of(saga)
        self._begun: dict[tuple[str, int], Called] = {}

    async def perform(
        self, call: Call, record: Record, environment: CallEnvironment, permit: CallPermit
    ) -> AttemptResult:
        """Make a call, and watch it from its beginning to its end."""
        calling = self._calling
        called = Called(
            step=call.step, kind=call.kind, key=call.key, action_key=call.action_key, at=trio.current_time()
        )
        calling.judge.begins(called, calling.durable())
        calling.trace.calls.add(called)
        self._begun[call.step, call.call] = called
        is_child = self.definition.nodes[self.plan.step_of(call.step)].action is None
        fault = calling.fault_for(call) if is_child else None
        called.ended, called.error = "unknown", "cut off"
        try:
            if fault is None:
                result = await super().perform(call, record, environment, permit)
            else:
                result = await self._child(call, record, environment, permit, fault)
        finally:
            calling.judge.ends(called)
        called.ended, called.error = _ended(result)
        return result

    async def _child(
        self, call: Call, record: Record, environment: CallEnvironment, permit: CallPermit, fault: CallFaultKind
    ) -> AttemptResult:
        """Let a fault strike a call that starts or undoes a child."""
        if fault in ("lost_ack", "twice"):
            result = await super().perform(call, record, environment, permit)
            return Error(error="injected: the answer is lost") if fault == "lost_ack" else result
        if fault == "timeout":
            await trio.sleep(call.timeout)
        return Error(error=f"injected: {fault}")

    async def invoke(
        self, call: Call, function: Function, environment: CallEnvironment, permit: CallPermit, args: tuple[Any, ...]
    ) -> Any:
        """Run the user's function, or let the fault of the schedule strike it."""
        permit.use()
        called = self._begun[call.step, call.call]
        run = partial(self._run, call, function, environment, permit, args)
        fault = self._calling.fault_for(call)
        called.injected = fault is not None
        match fault:
            case None:
                pass
            case "raise":
                raise Injected("nobody knows whether it happened")
            case "reject":
                raise Reject("injected")
            case "timeout":
                await trio.sleep_forever()
            case "late":
                self._calling.comes_late(called, run)
                await trio.sleep_forever()
            case "lost_ack":
                called.executed += 1
                await run()
                raise Injected("it happened, and the answer is lost")
            case "twice":
                return await self._twice(called, run)
        called.executed += 1
        answer = await run()
        # The worst moment for a late action: right after its undo, before the record says that the undo is done.
        if call.kind == "undo":
            await self._calling.late(call.action_key)
        return answer

    async def _twice(self, called: Called, run: Again) -> Any:
        called.executed += 2
        first, second = await run(), await run()
        if called.kind == "do" and first != second:
            self._calling.judge.broke(
                f"P3: the action of {called.step} is not idempotent: called twice under one key it answered "
                f"{first!r} and then {second!r}"
            )
        return second

    async def _run(
        self, call: Call, function: Function, environment: CallEnvironment, permit: CallPermit, args: tuple[Any, ...]
    ) -> Any:
        if self._stubs is None:
            return await super().invoke(call, function, environment, permit, args)
        await trio.lowlevel.checkpoint()
        return self._stubs.call(self.plan.step_of(call.step), call.kind, call.action_key)


def _ended(result: AttemptResult) -> tuple[str, str]:
    match result:
        case Complete():
            return "done", ""
        case Compensating(code=code):
            return "not done", f"rejected: {code}"
        case NotHappened():
            return "not done", ""
        case (
            RetryLater(reason=text, not_done=known)
            | Error(error=text, not_done=known)
            | ArgumentsUnreadable(error=text, not_done=known)
        ):
            return "not done" if known else "unknown", text
