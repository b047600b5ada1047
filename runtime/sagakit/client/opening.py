"""`open_runtime`, and the context manager that it returns, which explains itself when it is misused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, Unpack

from msgspec import structs

from sagakit.client.bare_errors import bare_errors
from sagakit.client.runtime import Runtime
from sagakit.cluster.worker import open_worker
from sagakit.definition import Saga
from sagakit.errors import InvalidConfig
from sagakit.jetstream.whereabouts import check_trio
from sagakit.system.config import Config
from sagakit.system.given_options import RuntimeOptions

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")


class Opening(AbstractAsyncContextManager[R]):
    """The context manager that opens a runtime when `async with` enters it. Its errors explain other uses."""

    def __init__(self, what: str, inner: AbstractAsyncContextManager[R, bool | None]) -> None:
        self._what = what
        self._inner = inner
        self._entered = False

    async def __aenter__(self) -> R:
        if self._entered:
            raise TypeError(self._advice("is entered once"))
        self._entered = True
        return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, error, trace)

    if not TYPE_CHECKING:  # type checkers report these mistakes by themselves

        def __await__(self) -> Generator[Any, Any, NoReturn]:
            raise TypeError(self._advice("is not awaited"))
            yield

        def __enter__(self) -> NoReturn:
            raise TypeError(self._advice("is not a plain context manager"))

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise AttributeError(self._advice(f"does not return a runtime, and has no {name!r}"))

    def _advice(self, why: str) -> str:
        return f"{self._what} {why}: write `async with {self._what}(...) as runtime:` in an async function"


def opened(fn: Callable[P, AsyncIterator[R]]) -> Callable[P, AbstractAsyncContextManager[R]]:
    """Make a function that returns an `Opening` out of an async generator, as `contextlib.asynccontextmanager` does."""
    manager = asynccontextmanager(fn)
    what = f"{fn.__module__.removesuffix('.client.opening')}.{fn.__name__}"

    @wraps(fn)
    def opening(*args: P.args, **kwargs: P.kwargs) -> Opening[R]:
        return Opening(what, manager(*args, **kwargs))

    return opening


@opened
async def open_runtime(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config | None = None,
    host_loop: asyncio.AbstractEventLoop | None = None,
    adopt: bool = True,
    **options: Unpack[RuntimeOptions],
) -> AsyncIterator[Runtime]:
    """Open a worker in this trio program: connect, make missing buckets, take over sagas of dead workers.

        async with sagakit.open_runtime("embedded:", sagas=[PlaceOrder(shop)], drain_timeout=5) as runtime:
            await runtime.execute(PlaceOrder, "order-7", order)

    `url` is `nats://...`, `tls://...`, `embedded:` (a nats-server as a child process) or `memory:`. Other keywords are
    the options of `Config`, and override those in `config`. Steps with `backend="asyncio"` run on `host_loop`, a loop
    in another thread; without it, on a trio-asyncio loop in this one.

    Leaving the context gives running attempts `drain_timeout` seconds. If the body is cancelled, they are cancelled at
    once and count as unknown. An error of the body is raised as it is, not in an exception group.

    With `adopt=False` the runtime is not a worker: it starts no sagas, takes none over, and reads nothing from the
    inbox. It can read sagas, and its signals and verbs go to the workers that own them.

    Raises CannotConnect, LoginRefused, NotPermitted, ServerTooOld, JetStreamOff, PayloadTooSmall, OtherDomain,
    BadBucket, BadLayout, StoreFull, InvalidConfig, DefinitionError, PlanChanged, SchemaChanged.
    """
    check_trio("sagakit.open_runtime")
    if not isinstance(config, Config | None):
        raise InvalidConfig(f"config={config!r}: write Config(...), or give the options by name")
    if not isinstance(adopt, bool):
        raise InvalidConfig(f"adopt={adopt!r}: say True or False")
    settings = Config.of(({} if config is None else structs.asdict(config)) | dict(options))
    with bare_errors():
        async with open_worker(url, sagas=sagas, config=settings, host_loop=host_loop, adopt=adopt) as worker:
            try:
                yield Runtime(worker)
            finally:
                worker.closed = True
