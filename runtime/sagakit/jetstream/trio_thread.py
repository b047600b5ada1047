"""A thread that runs one trio program beside an asyncio loop: the counterpart of `host`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import trio

from sagakit.errors import RuntimeClosed
from sagakit.jetstream.whereabouts import Home, context_left

R = TypeVar("R")

_BROKEN = "the runtime has broken down: leaving its context says why"


class TrioThread:
    """A thread with a trio program. The asyncio loop that made it opens and closes it; `call` runs a function there.

    Nothing here blocks that loop, even if the thread hangs: the loop runs users' steps.
    """

    def __init__(self, program: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
        """Take the program. It awaits the function `serve` that it gets, while calls may come; `close` ends that."""
        self._loop = asyncio.get_running_loop()
        self._home = Home("runtime", self._loop)
        self._program = program
        self._thread = threading.Thread(target=self._work, name="sagakit", daemon=True)
        self._lock = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._unheard: list[Callable[[], object]] = []
        """Calls that trio is to make once it runs; the lock guards the list and the token."""
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._closing = trio.Event()
        self._left = False
        self._serving: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._ended.add_done_callback(self._fail_the_rest)
        self._owed: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """Return once the program serves. Raises what it raises; cancelled, it is cancelled and awaited.

        Raises RuntimeError, MemoryError or OSError where the system has no thread or no file left for trio.
        """
        self._thread.start()
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
        """Let the program end, and wait for it. Raises what it raises; cancelled, it is cancelled and awaited."""
        if self._home.forked:
            return  # the thread is the other process's
        self._left = True
        self._tell(self._closing.set)
        await self._end()

    async def _end(self) -> None:
        """Wait for the end, however often that is cancelled: the program uses what belongs to the caller."""
        cancelled: asyncio.CancelledError | None = None
        while not self._ended.done():
            try:
                await asyncio.wait([self._ended])
            except asyncio.CancelledError as cancellation:
                cancelled = cancellation
                self._tell(self._scope.cancel)
        self._thread.join()  # it has nothing left to do
        failure = self._ended.exception()
        if cancelled is not None:
            raise cancelled
        if failure is not None:
            raise failure

    def _closed(self) -> RuntimeClosed:
        return context_left("runtime") if self._left else RuntimeClosed(_BROKEN)

    def _tell(self, fn: Callable[[], object]) -> bool:
        """Have the trio program call `fn`, soon or once it runs. False if it is over."""
        with self._lock:
            if self._token is None:
                self._unheard.append(fn)
                return True
        try:
            self._token.run_sync_soon(fn)
        except trio.RunFinishedError:
            return False
        return True

    def _work(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # raised in the task that opened, or that leaves
            self._loop.call_soon_threadsafe(self._ended.set_exception, error)
        else:
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    async def _main(self) -> None:
        with self._lock:
            self._token = trio.lowlevel.current_trio_token()
        for fn in self._unheard:
            fn()
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
        """Answer the calls that the trio program has not begun, or not ended: it is over."""
        for answer in list(self._owed):
            _fail(answer, self._closed())

    async def call(self, fn: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Run `fn(*args)` in the trio thread; cancelling here cancels there, and waits for it. Raises WrongContext."""
        self._home.check_asyncio()
        answer: asyncio.Future[R] = self._loop.create_future()
        self._owed.add(answer)
        answer.add_done_callback(self._owed.discard)
        scope = trio.CancelScope()
        if self._ended.done() or not self._tell(lambda: self._start(fn, args, scope, answer)):
            self._owed.discard(answer)
            raise self._closed()
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            self._tell(scope.cancel)
            await asyncio.wait([answer])
            raise

    def _start(
        self, fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], scope: trio.CancelScope, answer: asyncio.Future[R]
    ) -> None:
        if self._nursery is None:
            self._loop.call_soon_threadsafe(_fail, answer, self._closed())
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
                    self._loop.call_soon_threadsafe(_fail, answer, self._closed())
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
