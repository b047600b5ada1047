"""sagakit for asyncio programs: the runtime lives in a trio thread of its own, asyncio steps run on the program's loop.

    async with sagakit.asyncio.open_runtime("nats://localhost", sagas=[PlaceOrder(http=http)]) as sagas:
        saga = await sagas.start(PlaceOrder, order.id, order)

Everything that the trio runtime has is awaitable here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import trio
from typing_extensions import TypeVar

from sagakit.client.handle import Handle
from sagakit.client.listing import History, Page, SagaInfo
from sagakit.client.runtime import BulkVerb, Runtime
from sagakit.client.runtime import open_runtime as open_trio_runtime
from sagakit.definition import Outcome, Saga, Signal
from sagakit.engine import Record, SagaStatus
from sagakit.engine.inputs import InboundKind
from sagakit.engine.record import NOTHING
from sagakit.errors import RuntimeClosed
from sagakit.system.config import Config

D = TypeVar("D")
T = TypeVar("T", default=None)
R = TypeVar("R")
W = TypeVar("W")

_CLOSED = "the runtime has closed or broken down; leaving its context says which"


class _TrioThread:
    """A thread that runs one trio program; `call` runs one trio function there and awaits it here."""

    def __init__(self, program: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
        """`program` is given `serve`, which it is to await while calls are welcome; `close` has it return."""
        self._loop = asyncio.get_running_loop()
        self._program = program
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._closing = trio.Event()
        self._serving: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._ended.add_done_callback(self._fail_the_rest)
        self._owed: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """Return once the program serves. Raises what it raises; cancelled, it is cancelled and awaited."""
        began = threading.Event()
        self._thread = threading.Thread(target=self._work, args=[began], name="sagakit", daemon=True)
        self._thread.start()
        began.wait()
        try:
            await asyncio.wait([self._serving, self._ended], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._tell(self._scope.cancel)
            with suppress(Exception):  # the cancellation is what the caller is to hear of
                await self._end()
            raise
        if not self._serving.done():
            await self._end()

    async def close(self) -> None:
        """Let the program end, and wait for it. Raises what it raises."""
        self._tell(self._closing.set)
        await self._end()

    async def _end(self) -> None:
        try:
            await self._ended
        finally:
            self._thread.join()

    def _tell(self, fn: Callable[[], object]) -> None:
        with suppress(trio.RunFinishedError):  # then there is nothing left to tell
            self._token.run_sync_soon(fn)

    def _work(self, began: threading.Event) -> None:
        try:
            trio.run(self._main, began)
        except BaseException as error:  # raised in the thread that opened, or that leaves
            self._loop.call_soon_threadsafe(self._ended.set_exception, error)
        else:
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    async def _main(self, began: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        began.set()
        with self._scope:
            await self._program(self._serve)

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                self._loop.call_soon_threadsafe(self._serving.set_result, None)
                await self._closing.wait()
            finally:
                self._nursery = None  # what comes from now on is refused
                nursery.cancel_scope.cancel()

    def _fail_the_rest(self, _: asyncio.Future[None]) -> None:
        """The trio program is over: calls that it did not come to begin, or to end, are answered here."""
        for answer in list(self._owed):
            _fail(answer, RuntimeClosed(_CLOSED))

    async def call(self, fn: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Run `fn(*args)` in the trio thread; cancelling here cancels there, and waits for it."""
        answer: asyncio.Future[R] = self._loop.create_future()
        if self._ended.done():
            raise RuntimeClosed(_CLOSED)
        self._owed.add(answer)
        answer.add_done_callback(self._owed.discard)
        scope = trio.CancelScope()
        try:
            self._token.run_sync_soon(self._start, fn, args, scope, answer)
        except trio.RunFinishedError:
            self._owed.discard(answer)
            raise RuntimeClosed(_CLOSED) from None
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            with suppress(trio.RunFinishedError):  # then there is nothing left to tell
                self._token.run_sync_soon(scope.cancel)
            await asyncio.wait([answer])
            raise

    def _start(
        self, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], scope: trio.CancelScope, answer: asyncio.Future[R]
    ) -> None:
        if self._nursery is None:
            self._loop.call_soon_threadsafe(_fail, answer, RuntimeClosed(_CLOSED))
        else:
            self._nursery.start_soon(self._run, fn, args, scope, answer)

    async def _run(
        self, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], scope: trio.CancelScope, answer: asyncio.Future[R]
    ) -> None:
        with scope:
            try:
                result = await fn(*args)
            except trio.Cancelled:
                if scope.cancel_called:
                    self._loop.call_soon_threadsafe(answer.cancel)
                else:
                    self._loop.call_soon_threadsafe(_fail, answer, RuntimeClosed(_CLOSED))
                raise
            except Exception as error:  # carried over to the caller
                self._loop.call_soon_threadsafe(_fail, answer, error)
            else:
                self._loop.call_soon_threadsafe(_resolve, answer, result)


def _resolve(answer: asyncio.Future[R], result: R) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


class AsyncioRuntime(Runtime):
    """A `Runtime` for tasks of the asyncio loop that opened it."""

    def __init__(self, inner: Runtime, thread: _TrioThread) -> None:
        self._inner = inner
        self._thread = thread

    @property
    def worker_id(self) -> str:
        """This run of this process; never used again."""
        return self._inner.worker_id

    @property
    def config(self) -> Config:
        """The options in force."""
        return self._inner.config

    @property
    def ready(self) -> bool:
        """As `Runtime.ready`."""
        return self._inner.ready

    def metrics(self) -> Mapping[str, float]:
        """As `Runtime.metrics`."""
        return self._inner.metrics()

    async def drain(self) -> None:
        """As `Runtime.drain`."""
        await self._thread.call(self._inner.drain)

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
        start = partial(
            self._inner.start,
            correlation_id=correlation_id,
            causation_id=causation_id,
            trace=trace,
            attributes=attributes,
        )
        return self._mine(await self._thread.call(start, saga, id, input))

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """As `Runtime.execute`."""
        return await self._thread.call(self._inner.execute, saga, id, input)

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """As `Runtime.get`."""
        return self._mine(await self._thread.call(self._inner.get, saga, id))

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """As `Runtime.load`."""
        return await self._thread.call(self._inner.load, saga, id)

    async def record(self, key: str) -> Record:
        """As `Runtime.record`."""
        return await self._thread.call(self._inner.record, key)

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """As `Runtime.ended`."""
        return await self._thread.call(partial(self._inner.ended, key, or_stuck=or_stuck))

    async def list(
        self,
        *,
        status: SagaStatus | None = None,
        type: type[Saga[Any, Any]] | None = None,
        attributes: Mapping[str, str] | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """As `Runtime.list`."""
        look = partial(
            self._inner.list,
            status=status,
            type=type,
            attributes=attributes,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        return await self._thread.call(look)

    async def history(self, saga: type[Saga[D, T]], id: str) -> History:
        """As `Runtime.history`."""
        return await self._thread.call(self._inner.history, saga, id)

    @property
    def resting(self) -> int:
        """As `Runtime.resting`."""
        return self._inner.resting

    async def list_active(self) -> Sequence[str]:
        """As `Runtime.list_active`."""
        return await self._thread.call(self._inner.list_active)

    async def signal(self, saga: type[Saga[Any, Any]], id: str, signal: Signal[W, Any], payload: W) -> None:
        """As `Runtime.signal`."""
        await self._thread.call(self._inner.signal, saga, id, signal, payload)

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
        apply = partial(self._inner.apply, key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
        return await self._thread.call(apply)

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """As `Runtime.bulk`."""
        return await self._thread.call(partial(self._inner.bulk, verb, infos, reason=reason, by=by, dry_run=dry_run))

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """As `Runtime.compensate`."""
        await self._thread.call(self._inner.compensate, saga, id, reason)

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """As `Runtime.delete`."""
        await self._thread.call(self._inner.delete, saga, id)

    async def scan(self) -> None:
        """As `Runtime.scan`."""
        await self._thread.call(self._inner.scan)

    def _mine(self, handle: Handle[T]) -> Handle[T]:
        return handle.through(self)


@asynccontextmanager
async def open_runtime(
    url: str, *, sagas: Sequence[Saga[Any, Any]], config: Config | None = None, **options: Any
) -> AsyncIterator[Runtime]:
    """Open a worker beside this asyncio program; options and errors as `sagakit.open_runtime`.

    Steps with `backend="asyncio"` run on the loop that this is called from. Leaving the context drains the worker and
    ends its thread. If the worker breaks down meanwhile, leaving raises what broke it.
    """
    loop = asyncio.get_running_loop()
    opened: list[Runtime] = []

    async def program(serve: Callable[[], Awaitable[None]]) -> None:
        async with open_trio_runtime(url, sagas=sagas, config=config, host_loop=loop, **options) as runtime:
            opened.append(runtime)
            await serve()

    thread = _TrioThread(program)
    await thread.open()
    try:
        yield AsyncioRuntime(opened[0], thread)
    finally:
        await thread.close()
