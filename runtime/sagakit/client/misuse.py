"""Errors that explain a misuse: of the openings of runtimes and clients, and of names that these do not have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

VERBS_OF_A_HANDLE: Mapping[str, str] = {
    **{
        verb: f"`await (await runtime.get(PlaceOrder, id)).{verb}(...)`"
        for verb in ("cancel", "retry", "terminate", "complete_step", "mark_undone", "report", "outcome", "result")
    },
    "run": "`await runtime.execute(PlaceOrder, id, order)`",
}
"""Names that runtimes and clients are often asked for, each with the call that does it through a handle."""

METHODS_OF_A_RUNTIME: Mapping[str, str] = {
    "signal": "`await runtime.signal(PlaceOrder, handle.id, PlaceOrder.packed, payload)`",
    "delete": "`await runtime.delete(PlaceOrder, handle.id)`",
    "history": "`await runtime.history(PlaceOrder, handle.id)`",
    "status": "`(await handle.describe()).status`",
    "output": "`await handle.result()`",
}
"""Names that handles are often asked for, each with the call that does it."""


class Opening(AbstractAsyncContextManager[R]):
    """The context manager that opens a `kind` of thing when `async with` enters it. Its errors explain other uses."""

    def __init__(self, what: str, kind: str, inner: AbstractAsyncContextManager[R, bool | None]) -> None:
        self._what = what
        self._kind = kind
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
            raise AttributeError(self._advice(f"does not return a {self._kind}, and has no {name!r}"))

    def _advice(self, why: str) -> str:
        return f"{self._what} {why}: write `async with {self._what}(...) as {self._kind}:` in an async function"


def opened(kind: str) -> Callable[[Callable[P, AsyncIterator[R]]], Callable[P, AbstractAsyncContextManager[R]]]:
    """Make a function that returns an `Opening` out of an async generator, as `contextlib.asynccontextmanager` does.

    `kind` is the word for the thing that is opened: runtime or client.
    """

    def decorate(fn: Callable[P, AsyncIterator[R]]) -> Callable[P, AbstractAsyncContextManager[R]]:
        manager = asynccontextmanager(fn)
        package = "sagakit" if ".client." in fn.__module__ else fn.__module__

        @wraps(fn)
        def opening(*args: P.args, **kwargs: P.kwargs) -> Opening[R]:
            return Opening(f"{package}.{fn.__name__}", kind, manager(*args, **kwargs))

        return opening

    return decorate


def elsewhere(hints: Mapping[str, str]) -> Callable[[C], C]:
    """Decorate a class so that the AttributeError for these names says what is written in their place."""

    def missing(self: object, name: str) -> NoReturn:
        hint = f": write {hints[name]}" if name in hints else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self)

    def decorate(cls: C) -> C:
        cls.__getattr__ = missing  # type: ignore[attr-defined]  # a class may get one later
        return cls

    return decorate
