"""The part of a runtime through which a handle acts on its saga."""

from __future__ import annotations

from typing import Protocol

import msgspec
from typing_extensions import TypeVar

from sagakit.client.description import Description
from sagakit.definition import Saga
from sagakit.engine import InboundKind, Record
from sagakit.engine.record import NOTHING

D = TypeVar("D")
T = TypeVar("T", default=None)


class SagaAccess(Protocol):
    """Reads one saga and applies verbs to it. `Runtime` and `AsyncioRuntime` give it."""

    async def record(self, key: str) -> Record:
        """As `Runtime.record`."""
        ...

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """As `Runtime.ended`."""
        ...

    async def describe(self, saga: type[Saga[D, T]], id: str) -> Description:
        """As `Runtime.describe`."""
        ...

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
        """As `Runtime.apply`."""
        ...
