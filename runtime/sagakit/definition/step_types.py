"""What `@step(...)` returns, by the number of dependencies: it types the method that comes below.

`Checked` when an attempt in doubt is checked or handed to a person, so that there always is a result to undo; `Maybe`
when a condition may skip the step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, overload

from typing_extensions import TypeVar

from sagakit.definition.context import Ctx
from sagakit.definition.nodes import CheckedStep, Step

S = TypeVar("S")
D = TypeVar("D")
R = TypeVar("R")
A_co = TypeVar("A_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)


class Plain0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> Step[S, D, R]: ...


class Checked0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class Maybe0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> Step[S, D, R | None]: ...


class CheckedMaybe0(Protocol):
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class Plain1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> Step[S, D, R]: ...


class Checked1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class Maybe1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class CheckedMaybe1(Protocol[A_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class Plain2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> Step[S, D, R]: ...


class Checked2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class Maybe2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class CheckedMaybe2(Protocol[A_co, B_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class Plain3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> Step[S, D, R]: ...


class Checked3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class Maybe3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class CheckedMaybe3(Protocol[A_co, B_co, C_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class Plain4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> Step[S, D, R]: ...


class Checked4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class Maybe4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class CheckedMaybe4(Protocol[A_co, B_co, C_co, E_co]):
    @overload
    def __call__(
        self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], Awaitable[R]], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, Ctx], R], /) -> CheckedStep[S, D, R | None]: ...


class Plain5(Protocol[A_co, B_co, C_co, E_co, F_co]):
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], Awaitable[R]], /) -> Step[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], R], /) -> Step[S, D, R]: ...


class Checked5(Protocol[A_co, B_co, C_co, E_co, F_co]):
    @overload
    def __call__(
        self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], Awaitable[R]], /
    ) -> CheckedStep[S, D, R]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], R], /) -> CheckedStep[S, D, R]: ...


class Maybe5(Protocol[A_co, B_co, C_co, E_co, F_co]):
    @overload
    def __call__(
        self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], Awaitable[R]], /
    ) -> Step[S, D, R | None]: ...
    @overload
    def __call__(self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], R], /) -> Step[S, D, R | None]: ...


class CheckedMaybe5(Protocol[A_co, B_co, C_co, E_co, F_co]):
    @overload
    def __call__(
        self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], Awaitable[R]], /
    ) -> CheckedStep[S, D, R | None]: ...
    @overload
    def __call__(
        self, fn: Callable[[S, D, A_co, B_co, C_co, E_co, F_co, Ctx], R], /
    ) -> CheckedStep[S, D, R | None]: ...
