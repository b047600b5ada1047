"""The decorators that `@step(...)` returns: they type the method that comes below.

One class serves all numbers of dependencies, so that `step` needs few overloads: mypy prints all of them for one wrong
option. The overloads of a call differ by the class's parameters: `U_co`, the treatment of an attempt in doubt, and the
results of up to five dependencies. Dependencies that are not given are `Absent`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, TypeAlias, final, overload

from typing_extensions import TypeVar

from sagakit.definition.context import Context
from sagakit.definition.nodes import CheckedStep, Step
from sagakit.definition.options import Pending

S = TypeVar("S")
D = TypeVar("D")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
F = TypeVar("F")
U_co = TypeVar("U_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)

Undone: TypeAlias = Literal["retry", "undo"]
"""The treatment of an attempt in doubt: it is undone like any other, and there may be no result."""
Checked: TypeAlias = Literal["check", "ask"]
"""The treatment of an attempt in doubt: a check or a person decides, and there always is a result to undo."""


@final
class Absent:
    """The type of a dependency that was not given."""


class Always(Pending[Any], Generic[U_co, A_co, B_co, C_co, E_co, F_co]):
    """Makes a step that runs."""

    @overload
    def __call__(
        self: Always[Undone, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], Awaitable[R]], /
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], R], /
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], Awaitable[R]], /
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], R], /
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], Absent, Absent, Absent, Absent],
        fn: Callable[[S, D, A, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], Absent, Absent, Absent, Absent], fn: Callable[[S, D, A, Context], R], /
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], Absent, Absent, Absent, Absent],
        fn: Callable[[S, D, A, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], Absent, Absent, Absent, Absent], fn: Callable[[S, D, A, Context], R], /
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], Absent, Absent, Absent],
        fn: Callable[[S, D, A, B, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], Absent, Absent, Absent], fn: Callable[[S, D, A, B, Context], R], /
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], Absent, Absent, Absent],
        fn: Callable[[S, D, A, B, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], Absent, Absent, Absent], fn: Callable[[S, D, A, B, Context], R], /
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], tuple[C], Absent, Absent], fn: Callable[[S, D, A, B, C, Context], R], /
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], R],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], R],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], R],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Undone, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], R],
        /,
    ) -> Step[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(
        self: Always[Checked, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], R],
        /,
    ) -> CheckedStep[S, D, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make the method a step."""
        return super().__call__(fn)


class Sometimes(Pending[Any], Generic[U_co, A_co, B_co, C_co, E_co, F_co]):
    """Makes a step that a condition may skip: its result may be None."""

    @overload
    def __call__(
        self: Sometimes[Undone, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], Awaitable[R]], /
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], R], /
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], Awaitable[R]], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, Absent, Absent, Absent, Absent, Absent], fn: Callable[[S, D, Context], R], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], Absent, Absent, Absent, Absent],
        fn: Callable[[S, D, A, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], Absent, Absent, Absent, Absent], fn: Callable[[S, D, A, Context], R], /
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], Absent, Absent, Absent, Absent],
        fn: Callable[[S, D, A, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], Absent, Absent, Absent, Absent], fn: Callable[[S, D, A, Context], R], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], Absent, Absent, Absent],
        fn: Callable[[S, D, A, B, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], Absent, Absent, Absent], fn: Callable[[S, D, A, B, Context], R], /
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], Absent, Absent, Absent],
        fn: Callable[[S, D, A, B, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], Absent, Absent, Absent], fn: Callable[[S, D, A, B, Context], R], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], R],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], tuple[C], Absent, Absent],
        fn: Callable[[S, D, A, B, C, Context], R],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], R],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], tuple[C], tuple[E], Absent],
        fn: Callable[[S, D, A, B, C, E, Context], R],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], Awaitable[R]],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Undone, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], R],
        /,
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], Awaitable[R]],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self: Sometimes[Checked, tuple[A], tuple[B], tuple[C], tuple[E], tuple[F]],
        fn: Callable[[S, D, A, B, C, E, F, Context], R],
        /,
    ) -> CheckedStep[S, D, R | None]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make the method a step."""
        return super().__call__(fn)
