"""Children: sagas that are one unit of another (DESIGN 7). What their parents start, undo and release, and are told.

All of it is idempotent: a child's id is derived, its start is found again, and messages are applied once by their ids.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import msgspec
import trio

from sagakit.engine import (
    AttemptResult,
    Call,
    Compensating,
    Complete,
    EndMarker,
    Error,
    Inbound,
    Parent,
    Record,
    Retry,
    child_id,
    encode_marker,
)
from sagakit.errors import (
    AlreadyStarted,
    Conflict,
    InputTooLarge,
    InvalidId,
    InvalidInput,
    SagakitError,
    StoreFull,
    UnknownSaga,
)
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store
from sagakit.system.inbox_request import InboxRequest
from sagakit.system.persistence import through_outage
from sagakit.system.registry import Registry
from sagakit.system.requests import Requests
from sagakit.system.services import input_limit
from sagakit.system.starts import Context, Starts

FORESTALLED = 3600.0
"""Seconds for which a child that never was cannot start: longer than its start may still be on its way."""
LOOK_AGAIN = 1.0
"""Seconds until a child that is not undone yet is looked at again, if nothing was heard of it."""

_CODES: dict[type[SagakitError], str] = {
    AlreadyStarted: "child_id_taken",
    InputTooLarge: "child_input_too_large",
    InvalidId: "child_id_invalid",
    InvalidInput: "child_input_invalid",
}
"""What no other attempt to start a child would change."""


class Children:
    """For tasks of one worker's trio thread."""

    def __init__(self, store: Store, registry: Registry, starts: Starts, requests: Requests) -> None:
        self._store = store
        self._registry = registry
        self._starts = starts
        self._requests = requests

    async def call(self, call: Call, record: Record, child_type: str) -> AttemptResult:
        """One attempt to start or to undo a child, within its timeout."""
        address = SagaKey(child_type, child_id(record, call.step, record.steps[call.step].group))
        with trio.move_on_after(call.timeout):
            try:
                if call.kind == "do":
                    return await self._start(address, call, record)
                return await self._undo(str(address), call)
            except SagakitError as error:
                return _answer(call, error)
        return Error(error=f"timeout after {call.timeout:g} s")

    async def _start(self, address: SagaKey, call: Call, record: Record) -> AttemptResult:
        parent = Parent(str(SagaKey(record.saga_type, record.saga_id)), record.run, call.step)
        context = Context(
            correlation_id=record.correlation_id or record.saga_id,
            causation_id=record.run,
            trace=record.trace,
            parent=parent,
        )
        given = record.steps[call.step].given
        size, limit = len(memoryview(given)), input_limit(self._store.max_payload)
        if size > limit:  # else it would be left to the inbox, and dropped there
            raise InputTooLarge(size, limit)
        if address.saga_type in self._registry.types:
            await self._start_here(address, bytes(given), context)
        else:
            request = InboxRequest(
                kind="start",
                input=given,
                correlation_id=context.correlation_id,
                causation_id=context.causation_id,
                trace=context.trace,
                parent=parent,
            )
            await self._requests.send(address, call.key, request)
        return Complete()

    async def _start_here(self, address: SagaKey, given: bytes, context: Context) -> None:
        """Start it in this worker; waits while the store is full: that is an outage, and no failed attempt (P12)."""
        binding = self._registry.latest(address.saga_type)
        while True:
            try:
                await self._starts.start(binding, address.saga_id, given, context)
                return
            except StoreFull:
                await trio.sleep(LOOK_AGAIN)

    async def _undo(self, key: str, call: Call) -> AttemptResult:
        """Ask the child to turn back, and wait until it has."""
        try:
            verdict = await self._requests.deliver(
                key, Inbound(id=call.key, kind="reverse", reason="its parent is undone")
            )
            if verdict == "too late":
                return Compensating(code="child_cannot_be_undone")
            if (await self._requests.ended(key)).status == "failed":
                return Complete()
        except UnknownSaga:
            with suppress(Conflict):
                await self._forestall(key)
                return Complete()
        return Retry(reason="the child is not undone yet", after=LOOK_AGAIN)

    async def _forestall(self, key: str) -> None:
        """An end marker for a child that never was, so that it can never start late. Raises Conflict."""
        marker = encode_marker(EndMarker(0.0, "failed", "", ""))
        await through_outage(self._store, partial(self._store.state.create, key, marker, ttl=FORESTALLED))

    async def tell(self, parent: Parent, message: Inbound) -> bool:
        """Tell a parent that its child has ended; durable once this returns. Whether it still is there to hear it."""
        try:
            return await self._requests.post(parent.key, message) != "ended"
        except UnknownSaga:
            return False

    async def release(self, run: str, children: tuple[tuple[str, str], ...]) -> None:
        """Let go of children, whose parent has ended; durable once this returns."""
        for saga_type, saga_id in children:
            with suppress(UnknownSaga, InvalidId):
                await self._requests.post(
                    str(SagaKey(saga_type, saga_id)), Inbound(id=f"{run}.release", kind="release")
                )


def _answer(call: Call, error: SagakitError) -> AttemptResult:
    code = _CODES.get(type(error))
    if code is None:
        return Error(error=repr(error))
    if call.kind == "undo" and isinstance(error, InvalidId):
        return Complete()  # there never was such a child
    return Compensating(code=code, detail=msgspec.Raw(msgspec.json.encode({"error": str(error)})))
