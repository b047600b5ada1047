"""The factories of nodes other than steps: `@each`, `signal`, `timer` and `child`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from sagakit.definition.context import Context
from sagakit.definition.decorators import DEFAULT_RETRY, DEFAULT_TIMEOUT, visible_names
from sagakit.definition.nodes import (
    Backend,
    CalledForEach,
    Child,
    EachStep,
    MaybeChild,
    MaybeEachStep,
    Node,
    NodeOptions,
    Signal,
    Timer,
)
from sagakit.definition.options import Pending, knows_its_options, no_undo, several
from sagakit.definition.policy import Limit, RetryPolicy

if TYPE_CHECKING:
    from sagakit.definition.saga import Saga

S = TypeVar("S")
D = TypeVar("D")
R = TypeVar("R")
A = TypeVar("A")
I = TypeVar("I")  # noqa: E741  # an item
T = TypeVar("T")


class EachGiven(TypedDict, total=False):
    """The options of `@each` that do not change the type of the node."""

    max_concurrent: int
    on_unknown: Literal["retry", "undo"]
    after: Sequence[Node[Any]] | None
    compensate: None
    retry: RetryPolicy
    timeout: timedelta
    backend: Backend | None
    limit: Limit | None


class _Each(Protocol[I]):
    @overload
    def __call__(self, fn: Callable[[S, D, I, Context], Awaitable[R]], /) -> EachStep[S, D, I, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, I, Context], R], /) -> EachStep[S, D, I, R]: ...


class _MaybeEach(Protocol[I]):
    @overload
    def __call__(self, fn: Callable[[S, D, I, Context], Awaitable[R]], /) -> MaybeEachStep[S, D, I, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, I, Context], R], /) -> MaybeEachStep[S, D, I, R]: ...


@overload
def each(source: Node[Sequence[I]], /, **given: Unpack[EachGiven]) -> _Each[I]: ...
@overload
def each(
    source: Node[Sequence[I]], /, *, when: Callable[[Any, Context], bool], **given: Unpack[EachGiven]
) -> _MaybeEach[I]: ...
@overload
def each(items: Callable[[Any, Context], Sequence[I]], /, **given: Unpack[EachGiven]) -> _Each[I]: ...
@overload
def each(
    items: Callable[[Any, Context], Sequence[I]], /, *, when: Callable[[Any, Context], bool], **given: Unpack[EachGiven]
) -> _MaybeEach[I]: ...
@overload
def each(source: Node[A], items: Callable[[A], Sequence[I]], /, **given: Unpack[EachGiven]) -> _Each[I]: ...
@overload
def each(
    source: Node[A],
    items: Callable[[A], Sequence[I]],
    /,
    *,
    when: Callable[[Any, Context], bool],
    **given: Unpack[EachGiven],
) -> _MaybeEach[I]: ...
@knows_its_options
def each(
    source: Any,
    items: Callable[[Any], Sequence[Any]] | None = None,
    /,
    *,
    max_concurrent: int = 10,
    on_unknown: Literal["retry", "undo"] = "retry",
    after: Sequence[Node[Any]] | None = None,
    when: Callable[[Any, Context], bool] | None = None,
    compensate: Any = ...,
    retry: RetryPolicy = DEFAULT_RETRY,
    timeout: timedelta = DEFAULT_TIMEOUT,
    backend: Backend | None = None,
    limit: Limit | None = None,
) -> Any:
    """Make a method an action that is called once for each item of a list, at most `max_concurrent` at once.

    The list is the result of `source`, or `items(result)`. Without a source it is `items(input, ctx)`, and `after` is
    as for `step`. `items` is a function without effects that is called once; its list is kept. The method is called
    with input, item and context. Each item has its own attempts, budget and key; the result of the node is the list of
    their results. When an item fails, the items that were done are undone. Other options are as for `step`.

    ```python
    @each(packed, lambda packed: packed.parcels, max_concurrent=4)
    async def label(self, order: Order, parcel: Parcel, ctx: Context) -> str: ...
    ```

    Raises DefinitionError, here or when the class is created.
    """
    options = NodeOptions(
        on_unknown=on_unknown,
        no_undo=no_undo(compensate, "each"),
        retry=retry,
        timeout=timeout,
        backend=backend,
        limit=limit,
    )
    inputs = (source,) if isinstance(source, Node) or items is not None else ()
    return Pending(
        _make_each,
        inputs,
        items if inputs else source,
        max_concurrent,
        options,
        visible_names(sys._getframe(2)),
        after=several(after, "after"),
        when=when,
    )


def _make_each(
    inputs: tuple[Any, ...],
    items: Any,
    max_concurrent: int,
    options: NodeOptions,
    namespace: Any,
    fn: Callable[..., Any],
    /,
    **given: Any,
) -> CalledForEach[Any, Any, Any, Any, Any]:
    kind: Callable[..., CalledForEach[Any, Any, Any, Any, Any]] = EachStep if given["when"] is None else MaybeEachStep
    node = kind(fn, inputs, options, namespace, **given)
    node.items, node.max_concurrent = items, max_concurrent
    return node


@overload
def signal(
    payload: type[R],
    /,
    *,
    timeout: timedelta,
    on_timeout: Literal["continue"],
    after: Sequence[Node[Any]] | None = ...,
    when: Callable[[Any, Context], bool] | None = ...,
) -> Signal[R, R | None]: ...
@overload
def signal(
    payload: type[R],
    /,
    *,
    timeout: timedelta | None = ...,
    on_timeout: Literal["compensate"] = ...,
    after: Sequence[Node[Any]] | None = ...,
    when: Callable[[Any, Context], bool],
) -> Signal[R, R | None]: ...
@overload
def signal(
    payload: type[R],
    /,
    *,
    timeout: timedelta | None = ...,
    on_timeout: Literal["compensate"] = ...,
    after: Sequence[Node[Any]] | None = ...,
) -> Signal[R, R]: ...
@overload
def signal(
    payload: UnionType,
    /,
    *,
    timeout: timedelta | None = ...,
    on_timeout: Literal["compensate", "continue"] = ...,
    after: Sequence[Node[Any]] | None = ...,
    when: Callable[[Any, Context], bool] | None = ...,
) -> Signal[Any, Any]: ...
@knows_its_options
def signal(
    payload: Any,
    /,
    *,
    timeout: timedelta | None = None,
    on_timeout: Literal["compensate", "continue"] = "compensate",
    after: Sequence[Node[Any]] | None = None,
    when: Callable[[Any, Context], bool] | None = None,
) -> Any:
    """Wait for a message from outside. Its payload, of this type, is the node's result.

    A signal that comes before the node is reached waits in the record. `timeout` counts from the moment when the node
    is reached. After it the saga is compensated, or goes on with None if `on_timeout="continue"`. `after` and `when`
    are as for `step`.

    ```python
    packed = signal(Packed, timeout=timedelta(days=2))
    ```
    """
    return Signal(payload, timeout=timeout, on_timeout=on_timeout, after=several(after, "after"), when=when)


@knows_its_options
def timer(
    wait: timedelta | Callable[[Any, Context], datetime | timedelta],
    /,
    *,
    after: Sequence[Node[Any]] | None = None,
    when: Callable[[Any, Context], bool] | None = None,
) -> Timer:
    """Wait for a time, or until the time that `wait(input, ctx)` returns when the node is reached.

    `wait` has no effects; it returns a timedelta or a datetime with a zone. The timer is durable and runs by the
    server's clock. A saga may wait for months, and has no actor meanwhile.

    ```python
    cooled_off = timer(timedelta(days=14))
    ```
    """
    return Timer(wait, after=several(after, "after"), when=when)


@overload
def child(
    saga: type[Saga[D, T]],
    make_input: Callable[[Any, Context], D],
    /,
    *,
    after: Sequence[Node[Any]] | None = ...,
    pivot: bool = ...,
) -> Child[T]: ...
@overload
def child(
    saga: type[Saga[D, T]],
    make_input: Callable[[Any, Context], D],
    /,
    *,
    after: Sequence[Node[Any]] | None = ...,
    when: Callable[[Any, Context], bool],
    pivot: bool = ...,
) -> MaybeChild[T]: ...
@knows_its_options
def child(
    saga: Any,
    make_input: Callable[[Any, Context], Any],
    /,
    *,
    after: Sequence[Node[Any]] | None = None,
    when: Callable[[Any, Context], bool] | None = None,
    pivot: bool = False,
) -> Child[Any]:
    """Run another saga as one unit of this one. Its output is the node's result.

    Its input is `make_input(input, ctx)`, which has no effects. Its id is derived from this saga's. When the child
    fails, this saga is compensated. When this saga is undone, a running child is cancelled, and a completed child is
    reversed by its own compensations. A child with a pivot cannot be reversed: it must be this saga's pivot, or come
    after it.

    ```python
    delivery = child(Deliver, lambda order, ctx: Parcel(order.address))
    ```
    """
    kind: Callable[..., Child[Any]] = Child if when is None else MaybeChild
    return kind(saga, make_input, after=several(after, "after"), when=when, pivot=pivot)
