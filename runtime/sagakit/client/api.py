"""`RuntimeApi`: the methods that a runtime has in trio programs and in asyncio programs alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from typing_extensions import TypeVar

from sagakit.client.bulk import BulkVerb
from sagakit.client.client_api import ClientApi
from sagakit.client.metrics import MetricReading
from sagakit.definition import Saga
from sagakit.repository.listing import SagaInfo
from sagakit.system.config import Config

D = TypeVar("D")
T = TypeVar("T", default=None)


class RuntimeApi(ClientApi, Protocol):
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

    async def list_active(self) -> Sequence[str]:
        """Return the keys of the sagas that have an actor here. See `Runtime.list_active`."""
        ...

    async def scan(self) -> None:
        """Look for sagas of dead workers now, and take them over. See `Runtime.scan`."""
        ...

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """Apply an operator's verb to many sagas, and return each one with its verdict. See `Runtime.bulk`."""
        ...

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """Delete what is kept of an ended saga. See `Runtime.delete`."""
        ...
