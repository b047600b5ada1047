"""The intake: takes messages from the inbox and sees to it that each is applied before it is acknowledged.

The wire format is public: JSON on `sagain.{type}.{id}` with the message's id in `Nats-Msg-Id`, see `InboxRequest`. A
message that cannot be applied now (no owner, an outage) is tried again here for as long as it is ours, and comes again
from the server after that. One that can never be applied is reported and acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from logging import getLogger

import msgspec
import trio
from sagakit_actors import Actor, Backoff, Context

from sagakit.engine import ENDS, Parent
from sagakit.engine.record import NOTHING
from sagakit.engine.table import AWAITED
from sagakit.errors import (
    UNREADABLE,
    AlreadyStarted,
    Ambiguous,
    InputTooLarge,
    InvalidId,
    InvalidInput,
    SagakitError,
    StoreError,
    Unavailable,
    Undecodable,
    UnknownSaga,
)
from sagakit.store.names import SagaKey
from sagakit.store.ports import InboundMessage, Store
from sagakit.system import starts
from sagakit.system.border import checked_context, checked_message
from sagakit.system.inbox_request import InboxRequest
from sagakit.system.registry import Registry
from sagakit.system.requests import Requests
from sagakit.system.starts import Starts

_log = getLogger("sagakit.intake")

CONCURRENT = 256
"""Messages that are being applied at once."""
OURS = 25.0
"""Seconds that a message is ours; somewhat less than the server waits before it hands it out again."""


_decoder = msgspec.json.Decoder(InboxRequest)

_NEVER = (
    AlreadyStarted, InputTooLarge, InvalidId, InvalidInput, Undecodable, *UNREADABLE,
)  # fmt: skip
"""What no other try would change."""


class Intake(Actor[None]):
    """Applies what the inbox holds for the types that this worker knows."""

    tasks = True

    def __init__(self, store: Store, registry: Registry, starts: Starts, requests: Requests) -> None:
        self._store = store
        self._registry = registry
        self._starts = starts
        self._requests = requests
        self._limit = trio.CapacityLimiter(CONCURRENT)

    async def run(self, ctx: Context[None]) -> None:
        """Until stopped."""
        ctx.nursery.start_soon(self._take, ctx.nursery)
        while True:
            await ctx.receive()

    async def _take(self, nursery: trio.Nursery) -> None:
        async with self._store.inbox.receive(self._registry.types) as messages:
            async for message in messages:
                token = object()
                await self._limit.acquire_on_behalf_of(token)
                nursery.start_soon(self._handle, message, token)

    async def _handle(self, message: InboundMessage, token: object) -> None:
        pause = Backoff(first=0.05, most=2.0)
        failures = 0
        trouble: SagakitError | None = None
        try:
            with trio.move_on_after(OURS):
                while True:
                    trouble = None  # not known while it is under way
                    trouble = await self._apply(message)
                    if trouble is None:
                        message.ack()
                        return
                    failures += 1
                    await trio.sleep(pause.delay(failures))
            if isinstance(trouble, UnknownSaga) and await self._comes_first(message):
                _drop(message, trouble)
                message.ack()
        except trio.Cancelled:
            message.release()  # nothing is taken here any more: let another worker have it at once
            raise
        finally:
            self._limit.release_on_behalf_of(token)

    async def _comes_first(self, message: InboundMessage) -> bool:
        """A start that is still in the inbox, since whoever took it died, comes before what was sent after it."""
        with suppress(Unavailable, Ambiguous):
            return await self._store.inbox.is_first(message)
        return False

    async def _apply(self, message: InboundMessage) -> SagakitError | None:
        """What speaks against it now, if another try may help. An unknown saga's start may be a moment behind."""
        key = str(SagaKey(message.saga_type, message.saga_id))
        try:
            request = _decoder.decode(message.payload)
            if request.kind == "start":
                await self._start(message, request)
                return None
            if await self._requests.anywhere(key, checked_message(request.as_inbound(message.id))) is None:
                return Unavailable(f"{key}: nobody owns it just now")
        except _NEVER as error:
            _drop(message, error)
        except (StoreError, UnknownSaga) as error:
            return error
        return None

    async def _start(self, message: InboundMessage, request: InboxRequest) -> None:
        if request.parent is not None and not await self._is_awaited(request.parent):
            _log.info("%s.%s: not started: its parent awaits it no more", message.saga_type, message.saga_id)
            return
        binding = self._registry.latest(message.saga_type)
        value = binding.definition.encode_input(_as_input(binding.definition.input.decode, request.input))
        context = starts.Context(
            correlation_id=request.correlation_id,
            causation_id=request.causation_id,
            trace=request.trace,
            attributes=request.attributes,
            parent=request.parent,
        )
        await self._starts.start(binding, message.saga_id, value, checked_context(context))

    async def _is_awaited(self, parent: Parent) -> bool:
        """A start may have waited here for days, longer than the marker that forestalls it stands (P4)."""
        try:
            record = await self._requests.record(parent.key)
        except UnknownSaga:
            return False
        except Undecodable:  # a newer worker's: let the child ask it
            return True
        log = record.steps.get(parent.node)
        return record.run == parent.run and record.status not in ENDS and log is not None and log.state in AWAITED


def _drop(message: InboundMessage, error: Exception) -> None:
    _log.error("%s.%s: message %s is dropped: %s", message.saga_type, message.saga_id, message.id, error)


def _as_input(decode: Callable[[msgspec.Raw], object], raw: msgspec.Raw) -> object:
    """The input as the definition's type, so that the same input always has the same bytes and digest."""
    return decode(raw if raw is not NOTHING else msgspec.Raw(b"null"))
