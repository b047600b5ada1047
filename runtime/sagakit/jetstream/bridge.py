"""The bridge over which a worker's trio tasks call the asyncio steps of a saga."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import outcome
import trio

from sagakit.jetstream.asyncio_side import has_trio_asyncio, open_trio_asyncio
from sagakit.jetstream.crossing import HostLoop, foreign_cancel, kept, loop_in_thread
from sagakit.jetstream.host import open_host


async def _on_own_loop(fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
    import trio_asyncio  # changes what plain asyncio.run uses: only for those who need it

    try:
        result: outcome.Outcome[Any] = await trio_asyncio.aio_as_trio(kept)(fn, args)
        return result.unwrap()
    except asyncio.CancelledError:  # not ours: trio's own cancellation arrives as trio.Cancelled
        return foreign_cancel().unwrap()


class Bridge(NamedTuple):
    """A caller of asyncio functions. `loop` is the loop in another thread that they run on; None if it is not one."""

    call: Callable[..., Awaitable[Any]]
    loop: asyncio.AbstractEventLoop | None = None


@asynccontextmanager
async def open_bridge(host: asyncio.AbstractEventLoop | None, *, needed: bool) -> AsyncIterator[Bridge]:
    """Yield a bridge to `host` if given, else to a loop that is ours.

    A loop of ours is trio-asyncio's where that is used, opened here if none is open. Else it runs in a thread of its
    own, and not in the link's: a step that blocks its loop must not keep the connection from its pings.
    """
    if not needed:
        yield Bridge(_unneeded, host)
    elif host is not None:
        yield Bridge(HostLoop(host), host)
    elif not has_trio_asyncio():
        async with open_host() as own:
            yield Bridge(own.call, own.loop)
    else:
        import trio_asyncio  # changes what plain asyncio.run uses: only for those who need it

        if trio_asyncio.current_loop.get() is not None:
            yield Bridge(_on_own_loop)
            return
        async with open_trio_asyncio():
            yield Bridge(_on_own_loop)


async def _unneeded(fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
    raise AssertionError(f"{fn} is asyncio's, and no saga here has asyncio steps")


@contextmanager
def in_place() -> Iterator[Callable[..., Awaitable[Any]]]:
    """Yield a caller that stops everything here until the coroutine has ended in another loop: for virtual time."""
    loop: asyncio.AbstractEventLoop | None = None

    async def call(fn: Callable[..., Any], *args: Any) -> Any:
        nonlocal loop
        await trio.lowlevel.checkpoint()
        if loop is None:
            loop = opened.enter_context(loop_in_thread())
        return asyncio.run_coroutine_threadsafe(fn(*args), loop).result()

    with ExitStack() as opened:
        yield call
