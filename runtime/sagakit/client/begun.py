"""A saga whose start is on its way: the access of a handle that was made before any worker has started the saga."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from sagakit.client.access import SagaAccess
from sagakit.client.description import Description
from sagakit.definition import Saga
from sagakit.engine import InboundKind, Record
from sagakit.engine.record import NOTHING
from sagakit.errors import UnknownSaga

REMEMBERED = 10_000
"""Starts that are remembered, for calls that come before a worker has started the saga."""
T = TypeVar("T")


class Begun:
    """Waits until the saga is stored, and then passes everything on. Each method raises why the start was refused."""

    def __init__(self, access: SagaAccess, until_started: Callable[[], Awaitable[None]]) -> None:
        self._access = access
        self._until_started = until_started
        self._started = False

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


class RecentStarts:
    """The last starts of a client. Whoever sends one may go on as if the saga were stored."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, Begun] = OrderedDict()

    def add(self, key: str, begun: Begun) -> None:
        """Remember a start, and forget the oldest one."""
        self._begun[key] = begun
        self._begun.move_to_end(key)
        if len(self._begun) > REMEMBERED:
            self._begun.popitem(last=False)

    async def stored(self, key: str, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation on a saga. If the saga is not stored yet, but its start was sent, wait for it first."""
        try:
            return await operation()
        except UnknownSaga:
            begun = self._begun.get(key)
            if begun is None:
                raise
        await begun.reach()
        self._begun.pop(key, None)
        return await operation()
