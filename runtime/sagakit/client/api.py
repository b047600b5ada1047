"""`RuntimeApi`: the methods that a runtime has in trio programs and in asyncio programs alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Unpack

from typing_extensions import TypeVar

from sagakit.client.access import SagaAccess
from sagakit.client.bulk import BulkVerb
from sagakit.client.handle import Handle
from sagakit.client.metrics import MetricReading
from sagakit.client.start_options import StartOptions
from sagakit.definition import Outcome, Saga, Signal
from sagakit.engine import Record, SagaStatus
from sagakit.repository.listing import History, Page, SagaInfo
from sagakit.system.config import Config
from sagakit.times import Moment

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W", default=Any)


class RuntimeApi(SagaAccess, Protocol):
    """A protocol for code that takes either runtime: `Runtime` in trio, `sagakit.asyncio.AsyncioRuntime` in asyncio.

        async def place(runtime: sagakit.RuntimeApi, order: Order) -> str:
            handle = await runtime.start(PlaceOrder, order.id, order)
            return handle.id

    `Runtime` documents the errors, units and cancellation of each method.
    """

    @property
    def worker_id(self) -> str:
        """The id of this run of this process. See `Runtime.worker_id`."""
        ...

    @property
    def config(self) -> Config:
        """The options of this runtime. See `Runtime.config`."""
        ...

    @property
    def messages_sent(self) -> int:
        """Number of messages sent to the server so far. See `Runtime.messages_sent`."""
        ...

    @property
    def ready(self) -> bool:
        """True while sagas make progress here. See `Runtime.ready`."""
        ...

    async def drain(self) -> None:
        """Take no new sagas and hand over those that run. See `Runtime.drain`."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """Return the metrics of this worker, by name. See `Runtime.metrics`."""
        ...

    def readings(self) -> Sequence[MetricReading]:
        """Return the metrics of this worker with their labels. See `Runtime.readings`."""
        ...

    @property
    def passivated(self) -> int:
        """Number of sagas that wait and need no actor. See `Runtime.passivated`."""
        ...

    async def start(
        self, saga: type[Saga[D, T]], id: str | None, input: D, **options: Unpack[StartOptions]
    ) -> Handle[T]:
        """Start a saga and return a handle on it. See `Runtime.start`."""
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

    async def list_active(self) -> Sequence[str]:
        """Return the keys of the sagas that have an actor here. See `Runtime.list_active`."""
        ...

    async def scan(self) -> None:
        """Look for sagas of dead workers now, and take them over. See `Runtime.scan`."""
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
        """Send a signal to a saga; durable when this returns. See `Runtime.signal`."""
        ...

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """Apply an operator's verb to many sagas, and return each one with its verdict. See `Runtime.bulk`."""
        ...

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """Request that a saga is undone. See `Runtime.compensate`."""
        ...

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """Delete what is kept of an ended saga. See `Runtime.delete`."""
        ...
