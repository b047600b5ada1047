"""The crossing from a trio task to an asyncio loop that runs in another thread, and that thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import outcome
import trio


class HostLoop:
    """A caller of coroutine functions on an asyncio loop that lives in another thread (the host program's, or ours).

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
    """A call on its way. `start`, `_cancel` and `_done` run in the loop's thread, the rest in trio's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._token = trio.lowlevel.current_trio_token()
        self._caller = trio.lowlevel.current_task()
        self._task: asyncio.Task[Any] | None = None
        self._raise_cancel: Callable[[], Any] | None = None

    def start(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self._task = self._loop.create_task(kept(fn, args))
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        result = outcome.capture(lambda: task.result().unwrap())
        self._token.run_sync_soon(self._return, result)

    def _return(self, result: outcome.Outcome[Any]) -> None:
        if isinstance(result, outcome.Error) and isinstance(result.error, asyncio.CancelledError):
            result = outcome.capture(self._raise_cancel) if self._raise_cancel is not None else foreign_cancel()
        trio.lowlevel.reschedule(self._caller, result)

    def abort(self, raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        # FAILED: the trio task waits on for `_return`, which comes once the asyncio task has really ended.
        self._raise_cancel = raise_cancel
        self._loop.call_soon_threadsafe(self._cancel)
        return trio.lowlevel.Abort.FAILED

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def kept(fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> outcome.Outcome[Any]:
    """Keep an exception that would end the loop, and all that runs on it, for the task that awaits."""
    try:
        return outcome.Value(await fn(*args))
    except (SystemExit, KeyboardInterrupt) as error:
        return outcome.Error(error)


def foreign_cancel() -> outcome.Error:
    """Return the error for a cancellation that is not trio's.

    asyncio's CancelledError is not an Exception, and would end the whole trio program.
    """
    return outcome.Error(RuntimeError("the asyncio task was cancelled by somebody else"))


@contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an asyncio loop in a thread of its own while the context is open. Raises RuntimeError, OSError."""
    loop = asyncio.SelectorEventLoop()  # made directly: trio-asyncio changes what `asyncio.new_event_loop` makes
    with closing(loop):  # also when no thread can be started
        thread = threading.Thread(target=loop.run_forever, name="asyncio", daemon=True)
        thread.start()
        try:
            yield loop
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
