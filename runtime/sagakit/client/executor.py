"""`SagaExecutor`: what any executor of sagas can do. A `Runtime` is one, on JetStream and in memory alike."""

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
    """Start, load, execute to the end, compensate, list, delete. See `Runtime` for errors and cancellation."""

    async def start(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Handle[T]:
        """Start a saga; durable once this returns."""
        ...

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """The last durable record."""
        ...

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga and wait for its end."""
        ...

    async def compensate(self, saga: type[Saga[Any, Any]], id: str, reason: str = "") -> None:
        """Ask that a saga be undone."""
        ...

    async def list_active(self) -> Sequence[str]:
        """The keys of the sagas that run here now."""
        ...

    async def delete(self, saga: type[Saga[Any, Any]], id: str) -> None:
        """Forget a finished saga."""
        ...
