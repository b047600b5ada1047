"""`@step`: what a user writes above an action. The overloads type dependencies, results and compensations."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Literal, Protocol, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from sagakit.definition.context import Ctx
from sagakit.definition.nodes import Backend, CheckedStep, Node, Options, Step
from sagakit.definition.plan import OnUnknown
from sagakit.definition.policy import Limit, RetryPolicy

S = TypeVar("S")
D = TypeVar("D")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
A_co = TypeVar("A_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_RETRY = RetryPolicy()


class Given(TypedDict, total=False):
    """The options that do not change a step's type."""

    after: Sequence[Node[Any]] | None
    compensate: None
    retry: RetryPolicy
    timeout: timedelta
    pivot: bool
    backend: Backend | None
    limit: Limit | None
    heartbeat: timedelta | None


# One protocol for each number of dependencies; `Checked` when an attempt in doubt is checked or handed to a person, so
# that there always is a result to undo; `Maybe` when a condition may skip the step.


class _Plain0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> Step[S, D, R]: ...


class _Checked0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class _Maybe0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> Step[S, D, R | None]: ...


class _CheckedMaybe0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class _Plain1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> Step[S, D, R]: ...


class _Checked1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class _Maybe1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class _CheckedMaybe1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class _Plain2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> Step[S, D, R]: ...


class _Checked2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class _Maybe2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class _CheckedMaybe2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class _Plain3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> Step[S, D, R]: ...


class _Checked3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class _Maybe3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class _CheckedMaybe3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class _Plain4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> Step[S, D, R]: ...


class _Checked4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class _Maybe4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class _CheckedMaybe4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(
        self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


@overload
def step(fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
@overload
def step(fn: Callable[[S, D, Ctx], R], /) -> Step[S, D, R]: ...
@overload
def step(
    *, on_unknown: Literal["check", "ask"], when: Callable[[Any, Ctx], bool], **given: Unpack[Given]
) -> _CheckedMaybe0: ...
@overload
def step(*, on_unknown: Literal["check", "ask"], **given: Unpack[Given]) -> _Checked0: ...
@overload
def step(
    *, on_unknown: Literal["retry", "undo"] = ..., when: Callable[[Any, Ctx], bool], **given: Unpack[Given]
) -> _Maybe0: ...
@overload
def step(*, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]) -> _Plain0: ...
@overload
def step(
    a: Node[A], /, *, on_unknown: Literal["check", "ask"], when: Callable[[Any, Ctx], bool], **given: Unpack[Given]
) -> _CheckedMaybe1[A]: ...
@overload
def step(a: Node[A], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]) -> _Checked1[A]: ...
@overload
def step(
    a: Node[A],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _Maybe1[A]: ...
@overload
def step(a: Node[A], /, *, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]) -> _Plain1[A]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    /,
    *,
    on_unknown: Literal["check", "ask"],
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _CheckedMaybe2[A, B]: ...
@overload
def step(
    a: Node[A], b: Node[B], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]
) -> _Checked2[A, B]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _Maybe2[A, B]: ...
@overload
def step(
    a: Node[A], b: Node[B], /, *, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]
) -> _Plain2[A, B]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    /,
    *,
    on_unknown: Literal["check", "ask"],
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _CheckedMaybe3[A, B, C]: ...
@overload
def step(
    a: Node[A], b: Node[B], c: Node[C], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]
) -> _Checked3[A, B, C]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _Maybe3[A, B, C]: ...
@overload
def step(
    a: Node[A], b: Node[B], c: Node[C], /, *, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]
) -> _Plain3[A, B, C]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    /,
    *,
    on_unknown: Literal["check", "ask"],
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _CheckedMaybe4[A, B, C, E]: ...
@overload
def step(
    a: Node[A], b: Node[B], c: Node[C], e: Node[E], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]
) -> _Checked4[A, B, C, E]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> _Maybe4[A, B, C, E]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    **given: Unpack[Given],
) -> _Plain4[A, B, C, E]: ...
def step(
    *given: Any,
    on_unknown: OnUnknown = "retry",
    when: Callable[[Any, Ctx], bool] | None = None,
    after: Sequence[Node[Any]] | None = None,
    compensate: Any = ...,
    retry: RetryPolicy = DEFAULT_RETRY,
    timeout: timedelta = DEFAULT_TIMEOUT,
    pivot: bool = False,
    backend: Backend | None = None,
    limit: Limit | None = None,
    heartbeat: timedelta | None = None,
) -> Any:
    """Make a method an action of the saga.

    The nodes given are those whose results the method is called with, between input and context; it starts once they
    are done. `after` names nodes to come after without taking their results; with neither, the step comes after all
    that stand above it, and `after=()` makes it one of the first.

    `timeout` bounds each attempt. `on_unknown` says what to do about an attempt whose outcome is unknown: `retry` under
    the same key, `check`, `undo`, or `ask` a person. `when` is a function without effects, decided once: False skips
    the step. `pivot=True`: from its success on the saga only goes forward. `compensate=None` says that there is nothing
    to undo. Plain functions run in a worker thread; `backend` overrides the saga's for coroutine functions. `limit` is
    a quota that the calls of action, check and compensation wait for. With `heartbeat` an attempt is given up when it
    has not called `ctx.heartbeat()` for so long.
    """
    options = Options(
        on_unknown=on_unknown,
        no_undo=compensate is None,
        retry=retry,
        timeout=timeout,
        backend=backend,
        limit=limit,
        heartbeat=heartbeat,
    )
    kind: Callable[..., Any] = CheckedStep if on_unknown in ("check", "ask") else Step
    make = partial(
        kind,
        options=options,
        namespace=visible_names(sys._getframe(1)),
        after=None if after is None else tuple(after),
        when=when,
        pivot=pivot,
    )
    if len(given) == 1 and callable(given[0]) and not isinstance(given[0], Node):
        return make(given[0], ())
    return lambda fn: make(fn, given)


def visible_names(frame: Any) -> Mapping[str, Any]:
    """The local names around a class body: annotations may mention types that are local to a function."""
    outer = frame.f_back
    names: dict[str, Any] = {}
    while outer is not None and frame.f_code.co_name != "<module>" and outer.f_globals is frame.f_globals:
        if outer.f_code.co_name != "<module>":
            names = {**outer.f_locals, **names}
        outer = outer.f_back
    return names
