"""`SagaExecutor`: a protocol for code that starts sagas and needs little else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from typing_extensions import TypeVar

from sagakit.client.handle import Handle
from sagakit.definition import Outcome, Saga
from sagakit.engine import Record

D = TypeVar("D")
T = TypeVar("T", default=None)


class SagaExecutor(Protocol):
    """A protocol with the six basic operations. Each runtime has it, on JetStream and in memory.

        async def place(executor: sagakit.SagaExecutor, order: Order) -> None:
            await executor.start(PlaceOrder, order.id, order)

    `Runtime` documents errors and cancellation. `RuntimeApi` is the protocol with all methods.
    """

    async def start(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Handle[T]:
        """Start a saga; it is durable when this returns."""
        ...

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """Return the last durable record of a saga."""
        ...

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga, wait for its end and return its outcome."""
        ...

    async def compensate(self, saga: type[Saga[Any, Any]], id: str, reason: str = "") -> None:
        """Request that a saga is undone."""
        ...

    async def list_active(self) -> Sequence[str]:
        """Return the keys of the sagas that have an actor here now."""
        ...

    async def delete(self, saga: type[Saga[Any, Any]], id: str) -> None:
        """Delete what is kept of an ended saga."""
        ...
