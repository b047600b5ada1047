"""The asyncio side of a link: the loop on which nats-py's client runs, and the ways between it and trio.

There are two kinds, with one contract. Where trio-asyncio can be imported (to Python 3.13), the loop is
trio-asyncio's: it runs inside trio, in the same thread, and each way is a plain call. Elsewhere (from 3.14 on) the
loop runs in a thread of its own. `SAGAKIT_ASYNCIO=thread` chooses the thread everywhere, for tests and for comparison.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.util import find_spec
from logging import DEBUG, ERROR, getLogger
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from warnings import catch_warnings, simplefilter

import trio

from sagakit.errors import InvalidConfig
from sagakit.jetstream.host import Host, end_tasks, open_host

if TYPE_CHECKING:
    from trio_asyncio import BaseTrioEventLoop

_log = getLogger("sagakit.link")

T = TypeVar("T")

VARIABLE = "SAGAKIT_ASYNCIO"
"""Environment variable that chooses the way: `trio-asyncio` or `thread`. Unset: trio-asyncio where it works."""


class AsyncioSide(Protocol):
    """The loop of nats-py's client, seen from trio."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        ...

    async def call(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Await an asyncio function over there: for what is rare. Cancelled here, it is cancelled and awaited there."""
        ...

    def there(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have the asyncio side call `fn`, now or soon, in the order of these calls. From the trio thread."""
        ...

    def here(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have the trio side call `fn`, now or soon, in the order of these calls. From the asyncio side.

        `fn` must not raise: in another thread nobody would be told, and trio would end.
        """
        ...


class SameThread:
    """trio-asyncio's loop. Nothing crosses, so nothing waits."""

    def __init__(self, loop: BaseTrioEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop

    async def call(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Await `fn` on the loop."""
        import trio_asyncio

        result: T = await trio_asyncio.aio_as_trio(partial(fn, *args, **kwargs), loop=self.loop)()
        return result

    def there(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Call `fn` now."""
        fn(*args)

    def here(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Call `fn` now."""
        fn(*args)


class OtherThread:
    """A loop in a thread of its own. Both ways are queues that keep the order."""

    def __init__(self, host: Host) -> None:
        self.loop: asyncio.AbstractEventLoop = host.loop
        self._host = host
        self._token = trio.lowlevel.current_trio_token()

    async def call(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Await `fn` in the other thread."""
        return await self._host.call(partial(fn, *args, **kwargs))

    def there(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Queue `fn` for the other thread."""
        self.loop.call_soon_threadsafe(fn, *args)

    def here(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Queue `fn` for trio's thread."""
        self._token.run_sync_soon(fn, *args)


@asynccontextmanager
async def open_asyncio_side() -> AsyncIterator[AsyncioSide]:
    """Run a loop for nats-py while the context is open, trio-asyncio's if that is used.

    Raises InvalidConfig for a wrong SAGAKIT_ASYNCIO; RuntimeError or OSError where the system has no thread left.
    """
    if has_trio_asyncio():
        async with open_trio_asyncio() as loop:
            loop.set_exception_handler(_on_loop_error)
            yield SameThread(loop)
    else:
        async with open_host() as host:
            host.loop.call_soon_threadsafe(host.loop.set_exception_handler, _on_loop_error)
            yield OtherThread(host)


@asynccontextmanager
async def open_trio_asyncio() -> AsyncIterator[BaseTrioEventLoop]:
    """Run trio-asyncio's loop while the context is open; what still runs on it then is cancelled and awaited.

    trio-asyncio does that, too, but raises what such a task raises: a name that a thread could not resolve, say.
    """
    import trio_asyncio  # changes what plain asyncio.run uses: only for those who need it

    async with trio_asyncio.open_loop() as loop:
        try:
            yield loop
        finally:
            with trio.CancelScope(shield=True):
                await trio_asyncio.aio_as_trio(end_tasks, loop=loop)()


def has_trio_asyncio() -> bool:
    """Return True if asyncio runs inside trio here, False if it runs in a thread. Raises InvalidConfig."""
    match os.environ.get(VARIABLE):
        case None | "":
            return _imports_trio_asyncio()
        case "trio-asyncio":
            if not _imports_trio_asyncio():
                raise InvalidConfig(f"{VARIABLE}=trio-asyncio: it cannot be imported here: unset the variable")
            return True
        case "thread":
            return False
        case other:
            raise InvalidConfig(f"{VARIABLE}={other}: it is neither `trio-asyncio` nor `thread`: correct or unset it")


@cache
def _imports_trio_asyncio() -> bool:
    # On Python 3.14 it may be installed and still fail: it names parts of asyncio that are gone (its issue 160).
    if find_spec("trio_asyncio") is None:
        return False
    try:
        with catch_warnings():  # the same parts are deprecated before they are gone, and warnings may be errors
            simplefilter("ignore", DeprecationWarning)
            import trio_asyncio  # noqa: F401
    except (ImportError, AttributeError) as error:
        _log.debug("trio-asyncio cannot be imported, so asyncio runs in a thread: %s", error)
        return False
    return True


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an unhandled asyncio exception: it must not end the trio program, and nats-py reconnects by itself.

    An attempt to connect that was given up may still fail, and its reason is known already.
    """
    error = context.get("exception")
    level = DEBUG if isinstance(error, OSError) and _connects(context.get("future")) else ERROR
    _log.log(level, "asyncio: %s", context.get("message"), exc_info=error if error is not None else None)


def _connects(task: object) -> bool:
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    return getattr(coroutine, "__qualname__", "") == asyncio.open_connection.__qualname__
