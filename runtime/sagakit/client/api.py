"""`RuntimeApi`: what a runtime offers, for trio and for asyncio programs alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from typing_extensions import TypeVar

from sagakit.client.access import SagaAccess
from sagakit.client.bulk import BulkVerb
from sagakit.client.handle import Handle
from sagakit.client.listing import History, Page, SagaInfo
from sagakit.definition import Outcome, Saga, Signal
from sagakit.engine import Record, SagaStatus
from sagakit.system.config import Config
from sagakit.times import Moment

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W")


class RuntimeApi(SagaAccess, Protocol):
    """Both faces have it: `Runtime` for tasks of its trio thread, `sagakit.asyncio.AsyncioRuntime` for asyncio tasks.

    For code that is handed either of them. Errors, units and cancellation as `Runtime` says; each method is awaited on
    the one if it is awaited on the other.
    """

    @property
    def worker_id(self) -> str:
        """As `Runtime.worker_id`."""
        ...

    @property
    def config(self) -> Config:
        """As `Runtime.config`."""
        ...

    @property
    def messages_sent(self) -> int:
        """As `Runtime.messages_sent`."""
        ...

    @property
    def ready(self) -> bool:
        """As `Runtime.ready`."""
        ...

    async def drain(self) -> None:
        """As `Runtime.drain`."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """As `Runtime.metrics`."""
        ...

    @property
    def resting(self) -> int:
        """As `Runtime.resting`."""
        ...

    async def start(
        self,
        saga: type[Saga[D, T]],
        id: str | None,
        input: D,
        *,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: dict[str, str] | None = None,
        attributes: dict[str, str] | None = None,
    ) -> Handle[T]:
        """As `Runtime.start`."""
        ...

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """As `Runtime.execute`."""
        ...

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """As `Runtime.get`."""
        ...

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """As `Runtime.load`."""
        ...

    async def list(
        self,
        *,
        status: SagaStatus | None = None,
        type: type[Saga[Any, Any]] | None = None,
        attributes: Mapping[str, str] | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """As `Runtime.list`."""
        ...

    async def history(self, saga: type[Saga[D, T]], id: str) -> History:
        """As `Runtime.history`."""
        ...

    async def list_active(self) -> Sequence[str]:
        """As `Runtime.list_active`."""
        ...

    async def scan(self) -> None:
        """As `Runtime.scan`."""
        ...

    async def signal(
        self,
        saga: type[Saga[Any, Any]],
        id: str,
        signal: Signal[W, Any],
        payload: W,
        *,
        message_id: str | None = None,
    ) -> None:
        """As `Runtime.signal`."""
        ...

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """As `Runtime.bulk`."""
        ...

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """As `Runtime.compensate`."""
        ...

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """As `Runtime.delete`."""
        ...
