"""`SagaAccess`: the part of a runtime through which a handle acts on its saga."""

from __future__ import annotations

from typing import Protocol

import msgspec
from typing_extensions import TypeVar

from sagakit.client.description import Description
from sagakit.definition import Saga
from sagakit.definition.payloads import Payloads
from sagakit.engine import InboundKind, Record
from sagakit.engine.record import NOTHING

D = TypeVar("D")
T = TypeVar("T", default=None)


class SagaAccess(Protocol):
    """A protocol: reads one saga and applies verbs to it. `Runtime` and `AsyncioRuntime` have it."""

    @property
    def payloads(self) -> Payloads:
        """The way of values into records and messages, and back. See `Runtime.payloads`."""
        ...

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key. See `Runtime.record`."""
        ...

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait until a saga has ended, and return its last record. See `Runtime.ended`."""
        ...

    async def describe(self, saga: type[Saga[D, T]], id: str) -> Description:
        """Return one saga for people to read. See `Runtime.describe`."""
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
        """Apply a message to a saga and return its verdict. See `Runtime.apply`."""
        ...
