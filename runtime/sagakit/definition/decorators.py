"""The decorator `@step`, for actions. Its overloads type dependencies, results and compensations."""
# a parameter that is left out is typed by its type variable's default:
# pyright: reportInvalidTypeVarUse=false

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from sagakit.definition.context import Context
from sagakit.definition.dependency import Dependency
from sagakit.definition.nodes import Backend, CheckedStep, Node, NodeOptions, Step
from sagakit.definition.options import knows_its_options, no_undo, several
from sagakit.definition.plan import OnUnknown
from sagakit.definition.policy import Limit, RetryPolicy
from sagakit.definition.step_overloads import Absent, Always, Checked, Sometimes, Undone

S = TypeVar("S")
D = TypeVar("D")
R = TypeVar("R")
A = TypeVar("A", default=Absent)
B = TypeVar("B", default=Absent)
C = TypeVar("C", default=Absent)
E = TypeVar("E", default=Absent)
F = TypeVar("F", default=Absent)

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_RETRY = RetryPolicy()


class Given(TypedDict, total=False):
    """The options of `@step` that do not change the type of the step."""

    after: Sequence[Node[Any]] | None
    compensate: None
    retry: RetryPolicy
    timeout: timedelta
    pivot: bool
    backend: Backend | None
    limit: Limit | None
    heartbeat_timeout: timedelta | None


@overload
def step(fn: Callable[[S, D, Context], Awaitable[R]], /) -> Step[S, D, R]: ...
@overload
def step(fn: Callable[[S, D, Context], R], /) -> Step[S, D, R]: ...
@overload
def step(
    a: Dependency[A] = ...,
    b: Dependency[B] = ...,
    c: Dependency[C] = ...,
    e: Dependency[E] = ...,
    f: Dependency[F] = ...,
    /,
    *,
    on_unknown: Checked,
    when: Callable[[Any, Context], bool],
    **given: Unpack[Given],
) -> Sometimes[Checked, A, B, C, E, F]: ...
@overload
def step(
    a: Dependency[A] = ...,
    b: Dependency[B] = ...,
    c: Dependency[C] = ...,
    e: Dependency[E] = ...,
    f: Dependency[F] = ...,
    /,
    *,
    on_unknown: Undone = ...,
    when: Callable[[Any, Context], bool],
    **given: Unpack[Given],
) -> Sometimes[Undone, A, B, C, E, F]: ...
@overload
def step(
    a: Dependency[A] = ...,
    b: Dependency[B] = ...,
    c: Dependency[C] = ...,
    e: Dependency[E] = ...,
    f: Dependency[F] = ...,
    /,
    *,
    on_unknown: Checked,
    **given: Unpack[Given],
) -> Always[Checked, A, B, C, E, F]: ...
@overload
def step(
    a: Dependency[A] = ...,
    b: Dependency[B] = ...,
    c: Dependency[C] = ...,
    e: Dependency[E] = ...,
    f: Dependency[F] = ...,
    /,
    *,
    on_unknown: Undone = ...,
    **given: Unpack[Given],
) -> Always[Undone, A, B, C, E, F]: ...
@knows_its_options
def step(
    *given: Any,
    on_unknown: OnUnknown = "retry",
    when: Callable[[Any, Context], bool] | None = None,
    after: Sequence[Node[Any]] | None = None,
    compensate: Any = ...,
    retry: RetryPolicy = DEFAULT_RETRY,
    timeout: timedelta = DEFAULT_TIMEOUT,
    pivot: bool = False,
    backend: Backend | None = None,
    limit: Limit | None = None,
    heartbeat_timeout: timedelta | None = None,
) -> Any:
    """Make a method an action of the saga.

    The method is called with the saga's input, the results of the nodes given, and the context. It starts once those
    nodes are done. `after` names nodes to come after without taking their results. With neither, the step comes after
    all nodes above it; `after=()` lets it start at once.

    `timeout` bounds each attempt. `on_unknown` says how to go on after an attempt with an unknown outcome: `retry`
    under the same key, `check`, `undo`, or `ask` a person. `when` is a function without effects that is asked once:
    False skips the step. After the success of a step with `pivot=True` the saga only goes forward. `compensate=None`
    says that there is nothing to undo. Plain functions run in a worker thread; `backend` overrides the saga's for
    coroutine functions. `limit` is a quota that the calls of action, check and compensation wait for. With
    `heartbeat_timeout`, an attempt ends as unknown if it does not call `ctx.heartbeat()` for that time.

    ```python
    @step(reserve, timeout=timedelta(seconds=10))
    async def charge(self, order: Order, reservation: str, ctx: Context) -> str: ...

    @charge.compensate
    async def refund(self, order: Order, payment: str | None, ctx: Context) -> None: ...
    ```

    Raises DefinitionError, here or when the class is created.
    """
    options = NodeOptions(
        on_unknown=on_unknown,
        no_undo=no_undo(compensate, "step"),
        retry=retry,
        timeout=timeout,
        backend=backend,
        limit=limit,
        heartbeat_timeout=heartbeat_timeout,
    )
    kind: Callable[..., Any] = CheckedStep if on_unknown in ("check", "ask") else Step
    make = partial(
        kind,
        options=options,
        namespace=visible_names(sys._getframe(2)),
        after=several(after, "after"),
        when=when,
        pivot=pivot,
    )
    if len(given) == 1 and callable(given[0]) and not isinstance(given[0], Node):
        return make(given[0], ())
    decorator = Always if when is None else Sometimes
    return decorator(lambda fn: make(fn, given))


def visible_names(frame: Any) -> Mapping[str, Any]:
    """Return the local names around a class body. Annotations may name types that are local to a function."""
    outer = frame.f_back
    names: dict[str, Any] = {}
    while outer is not None and frame.f_code.co_name != "<module>" and outer.f_globals is frame.f_globals:
        if outer.f_code.co_name != "<module>":
            names = {**outer.f_locals, **names}
        outer = outer.f_back
    return names
