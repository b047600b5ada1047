"""sagakit for asyncio programs: the runtime runs in a thread with trio, asyncio steps run on the program's own loop.

    async with sagakit.asyncio.open_runtime("nats://localhost", sagas=[PlaceOrder(http=http)]) as sagas:
        saga = await sagas.start(PlaceOrder, order.id, order)

`AsyncioRuntime` has the methods of `sagakit.Runtime`, with the same arguments, results and errors. `open_client` opens
a client without a worker, on the program's own loop: it loads no trio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
from typing_extensions import TypeVar

from sagakit.client.client import Client
from sagakit.client.client_opening import ClientOptions, client_config, client_on
from sagakit.client.description import Description
from sagakit.client.handle import Handle
from sagakit.client.metrics import MetricReading
from sagakit.client.misuse import VERBS_OF_A_HANDLE, elsewhere, opened
from sagakit.client.reaching import client_connection
from sagakit.client.start_options import StartOptions
from sagakit.definition import Outcome, Saga, Signal
from sagakit.definition.payloads import PayloadCodec, Payloads
from sagakit.engine import Record, SagaStatus
from sagakit.engine.inputs import InboundKind
from sagakit.engine.record import NOTHING
from sagakit.errors import RuntimeClosed
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.whereabouts import Home, check_asyncio
from sagakit.messages.commands import Command
from sagakit.repository.listing import History, Page, SagaInfo
from sagakit.system.config import Config
from sagakit.system.given_options import RuntimeOptions
from sagakit.times import Moment
from sagakit.tracing import Tracing

if TYPE_CHECKING:  # a program with a client alone loads no trio
    from sagakit.client.bulk import BulkVerb
    from sagakit.client.runtime import Runtime
    from sagakit.jetstream.trio_thread import TrioThread

_log = getLogger("sagakit")

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W", default=Any)


@elsewhere(VERBS_OF_A_HANDLE)
class AsyncioRuntime:
    """A `Runtime` for the asyncio loop that opened it, with the same methods. Made by `sagakit.asyncio.open_runtime`.

        async with asyncio.timeout(5):
            handle = await runtime.start(PlaceOrder, "order-7", order)
            print(await handle.outcome())

    Its methods are for tasks of that loop, and raise WrongContext elsewhere. Properties and `metrics` may be read from
    any thread. Cancelling a call cancels it in the trio thread and waits for that; `Runtime` says what a cancelled call
    may have done. If the worker breaks down, open calls raise RuntimeClosed, and leaving the context says why.
    """

    def __init__(self, inner: Runtime, thread: TrioThread) -> None:
        self._inner = inner
        self._thread = thread

    @property
    def worker_id(self) -> str:
        """The id of this run of this process. See `Runtime.worker_id`."""
        return self._inner.worker_id

    @property
    def config(self) -> Config:
        """The options of this runtime. See `Runtime.config`."""
        return self._inner.config

    @property
    def messages_sent(self) -> int:
        """Number of messages sent to the server so far. See `Runtime.messages_sent`."""
        return self._inner.messages_sent

    @property
    def payloads(self) -> Payloads:
        """The way of values into records and messages, and back. See `Runtime.payloads`."""
        return self._inner.payloads

    @property
    def ready(self) -> bool:
        """True while sagas make progress here. See `Runtime.ready`."""
        return self._inner.ready

    def metrics(self) -> Mapping[str, float]:
        """Return the metrics of this worker, by name. See `Runtime.metrics`."""
        return self._inner.metrics()

    def readings(self) -> Sequence[MetricReading]:
        """Return the metrics of this worker with their labels. See `Runtime.readings`."""
        return self._inner.readings()

    async def drain(self) -> None:
        """Take no new sagas and hand over those that run. See `Runtime.drain`."""
        await self._thread.call(self._inner.drain)

    async def start(
        self, saga: type[Saga[D, T]], id: str | None, input: D, **options: Unpack[StartOptions]
    ) -> Handle[T]:
        """Start a saga and return a handle on it. See `Runtime.start`."""
        return self._mine(await self._thread.call(partial(self._inner.start, saga, id, input, **options)))

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
        start = partial(self._inner.start_with_signal, saga, id, input, signal, payload, **options)
        return self._mine(await self._thread.call(start))

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga, wait for its end and return its outcome. See `Runtime.execute`."""
        return await self._thread.call(self._inner.execute, saga, id, input)

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """Return a handle on a saga that was started before. See `Runtime.get`."""
        return self._mine(await self._thread.call(self._inner.get, saga, id))

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """Return the last durable record of a saga. See `Runtime.load`."""
        return await self._thread.call(self._inner.load, saga, id)

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key. See `Runtime.record`."""
        return await self._thread.call(self._inner.record, key)

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait until a saga has ended, and return its last record. See `Runtime.ended`."""
        return await self._thread.call(partial(self._inner.ended, key, or_stuck=or_stuck))

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
        look = partial(
            self._inner.list,
            status=status,
            type=type,
            attributes=attributes,
            created_after=created_after,
            created_before=created_before,
            where=where,
            limit=limit,
            cursor=cursor,
        )
        return await self._thread.call(look)

    async def history(self, saga: type[Saga[D, T]], id: str) -> History:
        """Return the last record of a saga and its events in order. See `Runtime.history`."""
        return await self._thread.call(self._inner.history, saga, id)

    async def describe(self, saga: type[Saga[D, T]], id: str) -> Description:
        """Return one saga for people to read. See `Runtime.describe`."""
        return await self._thread.call(self._inner.describe, saga, id)

    @property
    def passivated(self) -> int:
        """Number of sagas that wait and need no actor. See `Runtime.passivated`."""
        return self._inner.passivated

    async def list_active(self) -> Sequence[str]:
        """Return the keys of the sagas that have an actor here. See `Runtime.list_active`."""
        return await self._thread.call(self._inner.list_active)

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
        inner = self._inner.signal
        send = partial(inner, saga, id, signal, payload, reason=reason, by=by, message_id=message_id)
        await self._thread.call(send)

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
        apply = partial(self._inner.apply, key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
        return await self._thread.call(apply)

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """Apply an operator's verb to many sagas, and return each one with its verdict. See `Runtime.bulk`."""
        return await self._thread.call(partial(self._inner.bulk, verb, infos, reason=reason, by=by, dry_run=dry_run))

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """Request that a saga is undone. See `Runtime.compensate`."""
        await self._thread.call(self._inner.compensate, saga, id, reason)

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """Delete what is kept of an ended saga. See `Runtime.delete`."""
        await self._thread.call(self._inner.delete, saga, id)

    async def scan(self) -> None:
        """Look for sagas of dead workers now, and take them over. See `Runtime.scan`."""
        await self._thread.call(self._inner.scan)

    def _mine(self, handle: Handle[T]) -> Handle[T]:
        return handle.through(self)


@opened("runtime")
async def open_runtime(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config | None = None,
    adopt: bool = True,
    commands: Sequence[Command] = (),
    tracing: Tracing | None = None,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[RuntimeOptions],
) -> AsyncIterator[AsyncioRuntime]:
    """Open a worker beside this asyncio program. Options and errors are those of `sagakit.open_runtime`.

        async with sagakit.asyncio.open_runtime("embedded:", sagas=[PlaceOrder(http=http)]) as runtime:
            await runtime.execute(PlaceOrder, "order-7", order)

    Steps with `backend="asyncio"` run on the loop that this is called from. Leaving the context drains the worker and
    ends its thread. Cancelled meanwhile, it does not wait for running attempts, and they count as unknown. If the
    worker breaks down, leaving raises the error that broke it. Also raises RuntimeError or OSError if the system has no
    thread or file left for the worker; nothing is left behind then.
    """
    from sagakit.client.opening import open_runtime as open_trio_runtime
    from sagakit.jetstream.trio_thread import TrioThread

    loop = check_asyncio("runtime")
    opened: list[Runtime] = []

    async def program(serve: Callable[[], Awaitable[None]]) -> None:
        async with open_trio_runtime(
            url,
            sagas=sagas,
            config=config,
            host_loop=loop,
            adopt=adopt,
            commands=commands,
            tracing=tracing,
            payload_codec=payload_codec,
            **options,
        ) as runtime:
            opened.append(runtime)
            await serve()

    thread = TrioThread(program)
    await thread.open()
    try:
        yield AsyncioRuntime(opened[0], thread)
    except RuntimeClosed:  # the worker has broken down: `close` raises the error that broke it
        await thread.close()
        raise
    except BaseException:  # an error of the caller's body: raise that one, whatever happens to the worker
        await _closed(thread)
        raise
    await thread.close()


async def _closed(thread: TrioThread) -> None:
    try:
        await thread.close()
    except Exception as error:  # log it only: another error is being raised
        _log.error("the runtime broke down: %r", error, exc_info=error)


@opened("client")
async def open_client(
    url: str,
    *,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[ClientOptions],
) -> AsyncIterator[Client]:
    """Open a client on this program's loop: it starts, sees and helps the sagas of workers anywhere, and runs none.

        async with sagakit.asyncio.open_client("nats://localhost") as client:
            outcome = await client.execute(PlaceOrder, "order-7", order)

    No trio is loaded. Arguments, permissions and errors are those of `sagakit.open_client`.
    """
    loop = check_asyncio("client")
    config, payloads = client_config(options), Payloads(payload_codec)
    async with open_asyncio_wire(client_connection(url, config)) as wire:
        client = await client_on(wire, wire.server_version, config, Home("client", loop).check_asyncio, payloads)
        keeper = loop.create_task(client.keep())
        try:
            yield client
        finally:
            client.close()
            keeper.cancel()
