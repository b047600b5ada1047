"""The context manager that `open_runtime` returns. Used as anything else, it says how to use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Opening(AbstractAsyncContextManager[R]):
    """Opens the runtime when `async with` enters it; it is not the runtime, and cannot be awaited."""

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

    if not TYPE_CHECKING:  # to type checkers these are mistakes already

        def __await__(self) -> Generator[Any, Any, NoReturn]:
            raise TypeError(self._advice("is not awaited"))
            yield

        def __enter__(self) -> NoReturn:
            raise TypeError(self._advice("is no plain context manager"))

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise AttributeError(self._advice(f"returns no runtime, and has no {name!r}"))

    def _advice(self, why: str) -> str:
        return f"{self._what} {why}: write `async with {self._what}(...) as runtime:` in an async function"


def opened(fn: Callable[P, AsyncIterator[R]]) -> Callable[P, AbstractAsyncContextManager[R]]:
    """Make an `Opening` of an async generator, as `contextlib.asynccontextmanager` does."""
    manager = asynccontextmanager(fn)
    what = f"{fn.__module__.removesuffix('.client.runtime')}.{fn.__name__}"

    @wraps(fn)
    def opening(*args: P.args, **kwargs: P.kwargs) -> Opening[R]:
        return Opening(what, manager(*args, **kwargs))

    return opening
