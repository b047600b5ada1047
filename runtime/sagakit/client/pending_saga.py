"""A saga whose start is on its way: the access of a handle that was made before any worker has started the saga."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from sagakit.client.access import SagaAccess
from sagakit.client.description import Description
from sagakit.definition import Saga
from sagakit.definition.payloads import Payloads
from sagakit.engine import InboundKind, Record
from sagakit.engine.record import NOTHING


class PendingSaga:
    """Waits until the saga is stored, and then passes everything on. Each method raises why the start was refused."""

    def __init__(self, access: SagaAccess, until_started: Callable[[], Awaitable[None]]) -> None:
        self._access = access
        self._until_started = until_started
        self._started = False

    @property
    def payloads(self) -> Payloads:
        """The way of values into records and messages, and back."""
        return self._access.payloads

    async def reach(self) -> SagaAccess:
        """Wait until the saga is stored, and return the access to it."""
        if not self._started:
            await self._until_started()
            self._started = True
        return self._access

    async def record(self, key: str) -> Record:
        """Return the last durable record."""
        return await (await self.reach()).record(key)

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait until the saga has ended, and return its last record."""
        return await (await self.reach()).ended(key, or_stuck=or_stuck)

    async def describe(self, saga: type[Saga[Any, Any]], id: str) -> Description:
        """Return the saga for people to read."""
        return await (await self.reach()).describe(saga, id)

    async def apply(
        self,
        key: str,
        kind: InboundKind,
        *,
        reason: str = "",
        by: str = "",
        step: str = "",
        payload: msgspec.Raw = NOTHING,
        id: str | None = None,
    ) -> str:
        """Apply a message, and return its verdict."""
        access = await self.reach()
        return await access.apply(key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
