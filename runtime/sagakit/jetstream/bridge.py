"""The way from a trio task to an asyncio coroutine: on a loop of our own inside trio, or on the host program's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from typing import Any

import outcome
import trio


class HostLoop:
    """Runs coroutines on an asyncio loop that lives in another thread (the host program's).

    Cancelling the trio task cancels the asyncio task and waits for it: nothing goes on unseen.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def __call__(self, fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """Await `fn(*args)` over there; its exception is raised here."""
        crossing = _Crossing(self._loop)
        self._loop.call_soon_threadsafe(crossing.start, fn, args)
        return await trio.lowlevel.wait_task_rescheduled(crossing.abort)


class _Crossing:
    """One call. `start`, `cancel` and `_done` run in the host's thread, the rest in trio's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._token = trio.lowlevel.current_trio_token()
        self._caller = trio.lowlevel.current_task()
        self._task: asyncio.Task[Any] | None = None
        self._raise_cancel: Callable[[], Any] | None = None

    def start(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self._task = self._loop.create_task(_kept(fn, args))
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        result = outcome.capture(lambda: task.result().unwrap())
        self._token.run_sync_soon(self._return, result)

    def _return(self, result: outcome.Outcome[Any]) -> None:
        if isinstance(result, outcome.Error) and isinstance(result.error, asyncio.CancelledError):
            result = outcome.capture(self._raise_cancel) if self._raise_cancel is not None else _foreign_cancel()
        trio.lowlevel.reschedule(self._caller, result)

    def abort(self, raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        self._loop.call_soon_threadsafe(self._cancel)
        return trio.lowlevel.Abort.FAILED

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def _on_own_loop(fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
    import trio_asyncio  # changes what plain asyncio.run uses: only for those who need it

    try:
        kept: outcome.Outcome[Any] = await trio_asyncio.aio_as_trio(_kept)(fn, args)
        return kept.unwrap()
    except asyncio.CancelledError:  # not ours: trio's own cancellation arrives as trio.Cancelled
        return _foreign_cancel().unwrap()


async def _kept(fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> outcome.Outcome[Any]:
    """What would end the loop, and all that runs on it, is raised where it is awaited instead."""
    try:
        return outcome.Value(await fn(*args))
    except (SystemExit, KeyboardInterrupt) as error:
        return outcome.Error(error)


def _foreign_cancel() -> outcome.Error:
    """asyncio's CancelledError is no Exception and would end the whole trio program."""
    return outcome.Error(RuntimeError("the asyncio task was cancelled by somebody else"))


@asynccontextmanager
async def open_bridge(
    host: asyncio.AbstractEventLoop | None, *, needed: bool
) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """A caller of asyncio functions: on `host` if given, else on a trio-asyncio loop, opened here if none is open."""
    if not needed:
        yield _on_own_loop
        return
    if host is not None:
        yield HostLoop(host)
        return
    import trio_asyncio  # changes what plain asyncio.run uses: only for those who need it

    if trio_asyncio.current_loop.get() is not None:
        yield _on_own_loop
        return
    async with trio_asyncio.open_loop():
        yield _on_own_loop


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an asyncio loop in a thread of its own while the context is open. Raises RuntimeError, OSError."""
    loop = asyncio.SelectorEventLoop()  # whatever policy trio-asyncio has set
    with closing(loop):  # also when no thread can be started
        thread = threading.Thread(target=loop.run_forever, name="asyncio", daemon=True)
        thread.start()
        try:
            yield loop
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


@contextmanager
def in_place() -> Iterator[Callable[..., Awaitable[Any]]]:
    """A caller that stops everything here until the coroutine has ended in a loop of its own: for virtual time."""
    loop: asyncio.AbstractEventLoop | None = None

    async def call(fn: Callable[..., Any], *args: Any) -> Any:
        nonlocal loop
        await trio.lowlevel.checkpoint()
        if loop is None:
            loop = opened.enter_context(loop_in_thread())
        return asyncio.run_coroutine_threadsafe(fn(*args), loop).result()

    with ExitStack() as opened:
        yield call
