"""`ClientApi`: a protocol for code that takes a client or a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Unpack

from typing_extensions import TypeVar

from sagakit.client.access import SagaAccess
from sagakit.client.handle import Handle
from sagakit.client.start_options import StartOptions
from sagakit.definition import Outcome, Saga, Signal
from sagakit.engine import Record, SagaStatus
from sagakit.repository.listing import History, Page
from sagakit.times import Moment

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W", default=Any)


class ClientApi(SagaAccess, Protocol):
    """A protocol for code that starts, sees and helps sagas, in a worker or without one, under trio or asyncio.

        async def place(sagas: sagakit.ClientApi, order: Order) -> str:
            handle = await sagas.start(PlaceOrder, order.id, order)
            return handle.id

    `Client`, `Runtime` and `sagakit.asyncio.AsyncioRuntime` have it. `Runtime` documents errors and cancellation.
    """

    async def start(
        self, saga: type[Saga[D, T]], id: str | None, input: D, **options: Unpack[StartOptions]
    ) -> Handle[T]:
        """Start a saga and return a handle on it; the start is durable then. See `Runtime.start`, `Client.start`."""
        ...

    async def start_with_signal(
        self,
        saga: type[Saga[D, T]],
        id: str,
        input: D,
        signal: Signal[W, Any],
        payload: W,
        **options: Unpack[StartOptions],
    ) -> Handle[T]:
        """Start a saga with a signal, or send the signal to the one there is. See `Runtime.start_with_signal`."""
        ...

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga, wait for its end and return its outcome. See `Runtime.execute`."""
        ...

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """Return a handle on a saga that was started before. See `Runtime.get`."""
        ...

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """Return the last durable record of a saga. See `Runtime.load`."""
        ...

    async def list(
        self,
        *,
        status: SagaStatus | None = None,
        type: type[Saga[Any, Any]] | None = None,
        attributes: Mapping[str, str] | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        where: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return the unfinished sagas, or those that ended in a given way. See `Runtime.list`."""
        ...

    async def history(self, saga: type[Saga[D, T]], id: str) -> History:
        """Return the last record of a saga and its events in order. See `Runtime.history`."""
        ...

    async def signal(
        self,
        saga: type[Saga[Any, Any]],
        id: str,
        signal: Signal[W, Any],
        payload: W,
        *,
        reason: str = "",
        by: str = "",
        message_id: str | None = None,
    ) -> None:
        """Send a signal to a saga; durable when this returns. See `Runtime.signal`."""
        ...

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """Request that a saga is undone. See `Runtime.compensate`."""
        ...
