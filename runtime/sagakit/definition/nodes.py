"""The nodes of a definition, as the class body creates them. The compiler gives them their meaning."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeAlias, get_origin, overload

import msgspec
from typing_extensions import TypeVar

from sagakit.definition.context import Context
from sagakit.definition.dependency import Dependency
from sagakit.definition.options import knows_its_options
from sagakit.definition.plan import OnUnknown
from sagakit.definition.policy import UNDO_POLICY, Limit, RetryPolicy
from sagakit.definition.step_answers import Done, NotDone
from sagakit.errors import DefinitionError

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
D_co = TypeVar("D_co", covariant=True)
D = TypeVar("D")
R_co = TypeVar("R_co", covariant=True)
I = TypeVar("I")  # noqa: E741  # an item
I_co = TypeVar("I_co", covariant=True)
L_co = TypeVar("L_co", covariant=True)
W = TypeVar("W")

Backend: TypeAlias = Literal["trio", "asyncio"]


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `@step(...)` and `@each(...)`, as they were written."""

    on_unknown: OnUnknown
    no_undo: bool
    retry: RetryPolicy
    timeout: timedelta
    backend: Backend | None
    limit: Limit | None = None
    heartbeat_timeout: timedelta | None = None


class Undo:
    """A compensation or a check in a class body. It belongs to the step whose decorator made it."""

    def __init__(self, fn: Callable[..., Any], *, retry: RetryPolicy, timeout: timedelta | None) -> None:
        self.fn = fn
        self.retry = retry
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<Undo {self.fn.__qualname__}>"


class Node(Dependency[tuple[R_co]], Generic[R_co]):
    """A node of the plan. `ctx.result(node)` returns its result, typed.

    `inputs` are the nodes whose results it takes, `after` others that it comes after. `when` may skip it.
    """

    def __init__(
        self,
        inputs: tuple[Any, ...] = (),
        *,
        after: tuple[Any, ...] | None = None,
        when: Callable[[Any, Context], bool] | None = None,
        pivot: bool = False,
    ) -> None:
        self.name: str = ""
        self.place: str = ""
        self.owner: type | None = None
        self.inputs: tuple[Any, ...] = inputs
        self.after: tuple[Any, ...] | None = after
        self.when: Callable[[Any, Context], bool] | None = when
        self.pivot: bool = pivot

    word: ClassVar[str] = "Node"
    """The word for this kind of node in error texts."""

    def __repr__(self) -> str:
        return f"<{' '.join(filter(None, (self.word, self._shown)))}>"

    @property
    def _shown(self) -> str:
        """The class and the name; the name alone while the class body runs; empty if no name is known yet."""
        return ".".join(self.place.split(".")[-2:])

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.name:  # a second name is refused when the class is compiled
            self.name, self.place, self.owner = name, place(owner, name), owner


def place(owner: type, name: str) -> str:
    """Return the full name of a node. It is the same after `dataclass(slots=True)`, which creates the class again."""
    return f"{owner.__module__}.{owner.__qualname__}.{name}"


def types_in(owner: type) -> dict[str, Any]:
    """Return the types that are defined in a class body, which annotations there may name."""
    return {
        name: value for name, value in vars(owner).items() if isinstance(value, type) or get_origin(value) is not None
    }


class CalledNode(Node[R_co]):
    """A node that calls a user's function: a step, or an each."""

    word = "Step"

    def __init__(
        self,
        fn: Callable[..., Any],
        inputs: tuple[Any, ...],
        options: NodeOptions,
        namespace: Mapping[str, Any],
        *,
        after: tuple[Any, ...] | None = None,
        when: Callable[[Any, Context], bool] | None = None,
        pivot: bool = False,
    ) -> None:
        super().__init__(inputs, after=after, when=when, pivot=pivot)
        self.fn: Callable[..., Any] = fn
        self.options: NodeOptions = options
        self.namespace: Mapping[str, Any] = namespace
        self.undo: Undo | None = None
        self.checked: Undo | None = None

    @property
    def _shown(self) -> str:
        """As for any node; while the class body runs, the name of the function."""
        return super()._shown or getattr(self.fn, "__name__", "")

    def __set_name__(self, owner: type, name: str) -> None:
        super().__set_name__(owner, name)
        self.namespace = {**self.namespace, **types_in(owner)}

    if not TYPE_CHECKING:  # type checkers say that it cannot be called

        def __call__(self, *given: Any, **options: Any) -> Any:
            """Refuse to be a decorator in the class body, and a method anywhere else: both look natural."""
            if not self.name:
                raise DefinitionError(
                    f"{self!r} is not a decorator: write @{self._shown}.compensate; for @step({self._shown}), "
                    f"{self._shown} itself needs @step"
                )
            raise DefinitionError(
                f"{self!r} cannot be called, since the runtime calls it: take its result with @step({self.name}) or "
                f"ctx.result({self._shown}), or move what two steps share into a method without @step"
            )

    def _set_undo(self, fn: Any, retry: RetryPolicy, timeout: timedelta | None) -> Any:
        if fn is None:
            return lambda late: self._set_undo(late, retry, timeout)
        if self.undo is not None:
            raise DefinitionError(f"{self.fn.__qualname__} has two compensations: remove one")
        self.undo = Undo(fn, retry=retry, timeout=timeout)
        return self.undo

    def _set_check(self, fn: Callable[..., Any]) -> Undo:
        if self.checked is not None:
            raise DefinitionError(f"{self.fn.__qualname__} has two checks: remove one")
        self.checked = Undo(fn, retry=self.options.retry, timeout=None)
        return self.checked


class _UndoWith(Protocol[S_co, D_co, R_co]):
    """The type of the decorator that `compensate(retry=...)` returns."""

    @overload
    def __call__(self, fn: Callable[[S_co, D_co, R_co, Context], Awaitable[None]], /) -> Undo: ...
    @overload
    def __call__(self, fn: Callable[[S_co, D_co, R_co, Context], None], /) -> Undo: ...


class Step(CalledNode[R_co], Generic[S, D, R_co]):
    """A step whose compensation may get None as the result, since an attempt in doubt is undone, too."""

    @overload
    def compensate(self, fn: Callable[[S, D, R_co | None, Context], Awaitable[None]], /) -> Undo: ...
    @overload
    def compensate(self, fn: Callable[[S, D, R_co | None, Context], None], /) -> Undo: ...
    @overload
    def compensate(self, /, *, retry: RetryPolicy = ..., timeout: timedelta = ...) -> _UndoWith[S, D, R_co | None]: ...
    @knows_its_options
    def compensate(
        self, fn: Any = None, /, *, retry: RetryPolicy = UNDO_POLICY, timeout: timedelta | None = None
    ) -> Any:
        """Make a method this step's compensation. Its result argument is None if the action's outcome is unknown."""
        return self._set_undo(fn, retry, timeout)

    if not TYPE_CHECKING:  # type checkers say that it does not exist

        def check(self, fn: Any, /) -> Undo:
            """Refuse a check that would never be asked."""
            raise DefinitionError(f'{self!r} has no check: only a step with @step(on_unknown="check") is asked for it')


class CheckedStep(CalledNode[R_co], Generic[S, D, R_co]):
    """A step whose attempts in doubt are decided by a check or a person. Its compensation always has the result."""

    @overload
    def compensate(self, fn: Callable[[S, D, R_co, Context], Awaitable[None]], /) -> Undo: ...
    @overload
    def compensate(self, fn: Callable[[S, D, R_co, Context], None], /) -> Undo: ...
    @overload
    def compensate(self, /, *, retry: RetryPolicy = ..., timeout: timedelta = ...) -> _UndoWith[S, D, R_co]: ...
    @knows_its_options
    def compensate(
        self, fn: Any = None, /, *, retry: RetryPolicy = UNDO_POLICY, timeout: timedelta | None = None
    ) -> Any:
        """Make a method this step's compensation."""
        return self._set_undo(fn, retry, timeout)

    @overload
    def check(self, fn: Callable[[S, D, Context], Awaitable[Done[R_co] | NotDone | None]], /) -> Undo: ...
    @overload
    def check(self, fn: Callable[[S, D, Context], Done[R_co] | NotDone | None], /) -> Undo: ...
    def check(self, fn: Any, /) -> Undo:
        """Make a method this step's check: did the action under `ctx.action_key` happen? None means "unknown now"."""
        return self._set_check(fn)


class _UndoItemWith(Protocol[S_co, D_co, I_co, R_co]):
    """The type of the decorator that `compensate(retry=...)` of an each returns."""

    @overload
    def __call__(self, fn: Callable[[S_co, D_co, I_co, R_co, Context], Awaitable[None]], /) -> Undo: ...
    @overload
    def __call__(self, fn: Callable[[S_co, D_co, I_co, R_co, Context], None], /) -> Undo: ...


class CalledForEach(CalledNode[L_co], Generic[S, D, I, R_co, L_co]):
    """A step over a list that is known at run time: one call and one undo for each item. L_co is its result type."""

    word = "Each"
    items: Callable[[Any], Sequence[Any]] | None
    max_concurrent: int

    @overload
    def compensate(self, fn: Callable[[S, D, I, R_co | None, Context], Awaitable[None]], /) -> Undo: ...
    @overload
    def compensate(self, fn: Callable[[S, D, I, R_co | None, Context], None], /) -> Undo: ...
    @overload
    def compensate(
        self, /, *, retry: RetryPolicy = ..., timeout: timedelta = ...
    ) -> _UndoItemWith[S, D, I, R_co | None]: ...
    @knows_its_options
    def compensate(
        self, fn: Any = None, /, *, retry: RetryPolicy = UNDO_POLICY, timeout: timedelta | None = None
    ) -> Any:
        """Make a method the compensation of one item. Its result argument is None if the outcome is unknown."""
        return self._set_undo(fn, retry, timeout)


class EachStep(CalledForEach[S, D, I, R_co, Sequence[R_co]]):
    """An each that always runs: its result is the list of its items' results."""


class MaybeEachStep(CalledForEach[S, D, I, R_co, Sequence[R_co] | None]):
    """An each with a condition: its result is None if it is skipped."""


class Signal(Node[R_co], Generic[W, R_co]):
    """A message from outside that the saga waits for. W is the payload's type, invariant: nothing else may be sent."""

    word = "Signal"

    def __init__(
        self,
        payload: Any,
        *,
        timeout: timedelta | None,
        on_timeout: Literal["compensate", "continue"],
        after: tuple[Any, ...] | None,
        when: Callable[[Any, Context], bool] | None,
    ) -> None:
        super().__init__(after=after, when=when)
        self.payload: Any = payload
        self.timeout: timedelta | None = timeout
        self.on_timeout: Literal["compensate", "continue"] = on_timeout

    def _invariant(self, sent: W) -> W:
        return sent


class Timer(Node[None]):
    """A wait for a time, or until a time that is computed when the node is reached."""

    word = "Timer"

    def __init__(
        self,
        wait: timedelta | Callable[[Any, Context], datetime | timedelta],
        *,
        after: tuple[Any, ...] | None,
        when: Callable[[Any, Context], bool] | None,
    ) -> None:
        super().__init__(after=after, when=when)
        self.wait: timedelta | Callable[[Any, Context], datetime | timedelta] = wait


class Child(Node[R_co], Generic[R_co]):
    """Another saga as one unit of this one. Undoing the parent undoes it, running or completed."""

    word = "Child"

    def __init__(
        self,
        saga: Any,
        make_input: Callable[[Any, Context], Any],
        *,
        after: tuple[Any, ...] | None,
        when: Callable[[Any, Context], bool] | None,
        pivot: bool,
    ) -> None:
        super().__init__(after=after, when=when, pivot=pivot)
        self.saga: Any = saga
        self.make_input: Callable[[Any, Context], Any] = make_input


class MaybeChild(Child[R_co | None], Generic[R_co]):
    """A child with a condition: its result is None if it is skipped."""
