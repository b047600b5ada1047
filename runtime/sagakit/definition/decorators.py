"""`@step`: what a user writes above an action. The overloads type dependencies, results and compensations."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from sagakit.definition.context import Ctx
from sagakit.definition.nodes import Backend, CheckedStep, Node, Options, Step
from sagakit.definition.options import Pending, several
from sagakit.definition.plan import OnUnknown
from sagakit.definition.policy import Limit, RetryPolicy
from sagakit.definition.step_types import (
    Checked0,
    Checked1,
    Checked2,
    Checked3,
    Checked4,
    Checked5,
    CheckedMaybe0,
    CheckedMaybe1,
    CheckedMaybe2,
    CheckedMaybe3,
    CheckedMaybe4,
    CheckedMaybe5,
    Maybe0,
    Maybe1,
    Maybe2,
    Maybe3,
    Maybe4,
    Maybe5,
    Plain0,
    Plain1,
    Plain2,
    Plain3,
    Plain4,
    Plain5,
)

S = TypeVar("S")
D = TypeVar("D")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")

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


@overload
def step(fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
@overload
def step(fn: Callable[[S, D, Ctx], R], /) -> Step[S, D, R]: ...
@overload
def step(
    *, on_unknown: Literal["check", "ask"], when: Callable[[Any, Ctx], bool], **given: Unpack[Given]
) -> CheckedMaybe0: ...
@overload
def step(*, on_unknown: Literal["check", "ask"], **given: Unpack[Given]) -> Checked0: ...
@overload
def step(
    *, on_unknown: Literal["retry", "undo"] = ..., when: Callable[[Any, Ctx], bool], **given: Unpack[Given]
) -> Maybe0: ...
@overload
def step(*, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]) -> Plain0: ...
@overload
def step(
    a: Node[A], /, *, on_unknown: Literal["check", "ask"], when: Callable[[Any, Ctx], bool], **given: Unpack[Given]
) -> CheckedMaybe1[A]: ...
@overload
def step(a: Node[A], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]) -> Checked1[A]: ...
@overload
def step(
    a: Node[A],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> Maybe1[A]: ...
@overload
def step(a: Node[A], /, *, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]) -> Plain1[A]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    /,
    *,
    on_unknown: Literal["check", "ask"],
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> CheckedMaybe2[A, B]: ...
@overload
def step(
    a: Node[A], b: Node[B], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]
) -> Checked2[A, B]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> Maybe2[A, B]: ...
@overload
def step(
    a: Node[A], b: Node[B], /, *, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]
) -> Plain2[A, B]: ...
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
) -> CheckedMaybe3[A, B, C]: ...
@overload
def step(
    a: Node[A], b: Node[B], c: Node[C], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]
) -> Checked3[A, B, C]: ...
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
) -> Maybe3[A, B, C]: ...
@overload
def step(
    a: Node[A], b: Node[B], c: Node[C], /, *, on_unknown: Literal["retry", "undo"] = ..., **given: Unpack[Given]
) -> Plain3[A, B, C]: ...
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
) -> CheckedMaybe4[A, B, C, E]: ...
@overload
def step(
    a: Node[A], b: Node[B], c: Node[C], e: Node[E], /, *, on_unknown: Literal["check", "ask"], **given: Unpack[Given]
) -> Checked4[A, B, C, E]: ...
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
) -> Maybe4[A, B, C, E]: ...
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
) -> Plain4[A, B, C, E]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    f: Node[F],
    /,
    *,
    on_unknown: Literal["check", "ask"],
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> CheckedMaybe5[A, B, C, E, F]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    f: Node[F],
    /,
    *,
    on_unknown: Literal["check", "ask"],
    **given: Unpack[Given],
) -> Checked5[A, B, C, E, F]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    f: Node[F],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    when: Callable[[Any, Ctx], bool],
    **given: Unpack[Given],
) -> Maybe5[A, B, C, E, F]: ...
@overload
def step(
    a: Node[A],
    b: Node[B],
    c: Node[C],
    e: Node[E],
    f: Node[F],
    /,
    *,
    on_unknown: Literal["retry", "undo"] = ...,
    **given: Unpack[Given],
) -> Plain5[A, B, C, E, F]: ...
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
        after=several(after, "after"),
        when=when,
        pivot=pivot,
    )
    if len(given) == 1 and callable(given[0]) and not isinstance(given[0], Node):
        return make(given[0], ())
    return Pending(lambda fn: make(fn, given))


def visible_names(frame: Any) -> Mapping[str, Any]:
    """The local names around a class body: annotations may mention types that are local to a function."""
    outer = frame.f_back
    names: dict[str, Any] = {}
    while outer is not None and frame.f_code.co_name != "<module>" and outer.f_globals is frame.f_globals:
        if outer.f_code.co_name != "<module>":
            names = {**outer.f_locals, **names}
        outer = outer.f_back
    return names
