"""The way between parents and children: parents start, undo and release children; children tell parents of their ends.

See docs/architecture.md, "Children".

Everything here is idempotent: a child's id is derived, its start is found again, and a message is applied once by its
id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
import trio

from sagakit.binding.registry import CanRead, Registry
from sagakit.engine import (
    ArgumentsUnreadable,
    AttemptResult,
    Call,
    Compensating,
    Complete,
    EndMarker,
    Error,
    Inbound,
    Parent,
    Record,
    RetryLater,
    Sender,
    child_id,
    encode_marker,
    sender_of,
)
from sagakit.engine.keys import as_message_id
from sagakit.engine.value_places import first_name, input_place
from sagakit.errors import (
    AlreadyStarted,
    Conflict,
    InputTooLarge,
    InvalidId,
    InvalidInput,
    NoWorker,
    SagakitError,
    StoreFull,
    UnknownSaga,
)
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.limits import input_limit
from sagakit.messages.start_context import StartContext
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store
from sagakit.system.inbound.requests import Requests
from sagakit.system.inbound.starts import Starts
from sagakit.system.io.persistence import read, through_outage
from sagakit.system.saga_tracer import SagaTracer

FORESTALLED_FOR = 3600.0
"""Seconds for which an end marker keeps a child from starting that was undone before it began. A start that waits in
the inbox for longer asks its parent first."""
LOOK_AGAIN = 1.0
"""Seconds until another look at a child that is not undone yet, if no message comes from it."""

T = TypeVar("T")
_FORESTALLED = encode_marker(EndMarker(0.0, "failed", "", ""))
_CODES: dict[type[SagakitError], str] = {
    AlreadyStarted: "child_id_taken",
    InputTooLarge: "child_input_too_large",
    InvalidId: "child_id_invalid",
    InvalidInput: "child_input_invalid",
}
"""Codes of the errors that another attempt to start a child would meet again."""
_NO_PARENT: frozenset[str] = frozenset({"ended", "other run"})
"""Verdicts on a child's end which mean that its parent does not exist any more."""


class Children:
    """Carries words and calls between the sagas of a family. For tasks of one worker's trio thread."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        starts: Starts,
        requests: Requests,
        can_read_elsewhere: CanRead,
        tracer: SagaTracer,
    ) -> None:
        self._store = store
        self._registry = registry
        self._starts = starts
        self._requests = requests
        self._can_read_elsewhere = can_read_elsewhere
        self._tracer = tracer

    async def call(self, call: Call, record: Record, child_type: str) -> AttemptResult:
        """Make one attempt to start or to undo a child, and return its result within `call.timeout` seconds."""
        address = SagaKey(child_type, child_id(record, call.step, record.steps[call.step].group))
        attempt = self._start if call.kind == "do" else self._undo
        waits_for: list[str] = []
        with trio.move_on_after(call.timeout):
            try:
                return await _until_possible(partial(attempt, address, call, record), waits_for)
            except SagakitError as error:
                return _answer(call, error)
        return Error(error=": ".join([f"timeout after {call.timeout:g} s", *waits_for[-1:]]))

    async def _start(self, address: SagaKey, call: Call, record: Record) -> AttemptResult:
        parent = Parent(str(SagaKey(record.saga_type, record.saga_id)), record.run, first_name(record, call.step))
        context = StartContext(
            correlation_id=record.correlation_id or record.saga_id,
            causation_id=record.run,
            trace=self._tracer.trace_of(record, call.step, call.call),
            parent=parent,
        )
        given = record.steps[call.step].given
        size, limit = len(memoryview(given)), input_limit(self._store.max_payload)
        if size > limit:  # the inbox would take it, and it would become a dead letter there
            raise InputTooLarge(size, limit)
        if address.saga_type in self._registry.types:
            binding = self._registry.latest(address.saga_type)
            place = input_place(address, parent)
            fault, plain = binding.cannot_read(given, *place), binding.payloads.plain(given, *place)
            if plain is not None and not fault:
                await self._starts.start(binding, address.saga_id, bytes(plain), context, in_line=False)
                return Complete()
            if plain is None or not await self._can_read_elsewhere(address.saga_type, plain):
                version = binding.plan.version
                return ArgumentsUnreadable(
                    error=f"{address.saga_type} version {version} cannot read the child's input: {fault}"
                )
        request = InboxRequest(
            kind="start",
            input=given,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            trace=context.trace,
            parent=parent,
        )
        await self._requests.send(address, as_message_id(call.key), request)
        return Complete()

    async def _undo(self, address: SagaKey, call: Call, record: Record) -> AttemptResult:
        """Ask the child to turn back, and return the result once it has, or once waiting serves nothing."""
        key = str(address)
        id, sender = as_message_id(call.key), sender_of(record)
        message = Inbound(id=id, kind="reverse", sender=sender, reason="its parent is undone")
        try:
            verdict = await self._requests.deliver(key, message)
            if verdict.startswith("refused") or verdict == "full":  # it does not turn back: do not wait for its end
                return Compensating(code=f"child_not_undone: {verdict}")
            if verdict == "too late":
                return Compensating(code="child_cannot_be_undone")
            if (await self._requests.ended(key)).status == "failed":
                return Complete()
        except UnknownSaga:
            # the child has not begun, but its start may still be on its way. The marker is a create: if the child's own
            # create comes first, this one meets a conflict, and the next attempt finds the child
            with suppress(Conflict):
                await self._forestall(key)
                return Complete()
        return RetryLater(reason="the child is not undone yet", after=LOOK_AGAIN)

    async def _forestall(self, key: str) -> None:
        """Create an end marker for a child that has not begun, so that it cannot start late. Raises Conflict."""
        await through_outage(self._store, partial(self._store.state.create, key, _FORESTALLED, ttl=FORESTALLED_FOR))

    async def tell(self, parent: Parent, message: Inbound) -> bool:
        """Tell a parent that its child has ended; durable once this returns.

        Return True if the parent exists and knows the child: it will release the child then. Return False otherwise.
        """
        try:
            verdict = await _until_possible(partial(self._requests.post, parent.key, message))
        except UnknownSaga:
            return False
        return verdict is None or not (verdict in _NO_PARENT or verdict.startswith("refused"))

    async def refused(self, address: SagaKey, parent: Parent, error: SagakitError) -> None:
        """Tell a parent that its child can never start, unless it has; durable once this returns. Raises StoreError."""
        if not isinstance(error, AlreadyStarted) and not await self._never_starts(str(address)):
            return
        message = Inbound(
            id=f"{as_message_id(address.saga_id)}.refused",
            kind="child-ended",
            run=parent.run,
            sender=Sender(address.saga_type, address.saga_id, ""),
            step=parent.node,
            payload=_detail(error),
            code=_code(error) or "child_cannot_start",
        )
        await self.tell(parent, message)

    async def _never_starts(self, key: str) -> bool:
        try:
            await self._forestall(key)
        except Conflict:  # it has begun; or its start came again, and was refused before
            entry = await read(self._store, self._store.state, key)
            return entry is not None and entry.value == _FORESTALLED
        return True

    async def release(self, parent: Sender, children: tuple[tuple[str, str], ...]) -> None:
        """Release the children of a parent that has ended; durable once this returns."""
        message = Inbound(id=f"{parent.run}.release", kind="release", sender=parent)
        for saga_type, saga_id in children:
            with suppress(UnknownSaga, InvalidId):
                await _until_possible(partial(self._requests.post, str(SagaKey(saga_type, saga_id)), message))


async def _until_possible(operation: Callable[[], Awaitable[T]], waits_for: list[str] | None = None) -> T:
    """Run an idempotent operation again while the store is full: that is an outage, not a failed attempt (P12).

    Run it again, too, while no worker can run the other saga, since a deployment may be under way. Append the reason to
    `waits_for` then.
    """
    while True:
        try:
            return await operation()
        except StoreFull:
            await trio.sleep(LOOK_AGAIN)
        except NoWorker as error:
            if waits_for is not None:
                waits_for.append(str(error))
            await trio.sleep(LOOK_AGAIN)


def _answer(call: Call, error: SagakitError) -> AttemptResult:
    code = _code(error)
    if not code:
        return Error(error=repr(error))
    if call.kind == "undo" and isinstance(error, InvalidId):
        return Complete()  # a child with such an id cannot have started
    return Compensating(code=code, detail=_detail(error))


def _code(error: SagakitError) -> str:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")


def _detail(error: SagakitError) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"error": str(error)}))
