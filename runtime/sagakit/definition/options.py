"""The checks of options. Each returns the value that it was given, or raises DefinitionError.

`where` names the saga, the node and the option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial, wraps
from inspect import signature
from typing import Any, TypeVar

from sagakit.errors import DefinitionError
from sagakit.naming import nearest

V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])


def seconds(value: object, where: str, *, zero: bool = False) -> float:
    """Return a positive timedelta in seconds; with `zero`, it may be 0."""
    if not isinstance(value, timedelta):
        raise DefinitionError(f"{where}={value!r}: say a timedelta, such as timedelta(seconds=5)")
    if value < timedelta(0) or (value == timedelta(0) and not zero):
        raise DefinitionError(f"{where}={value} must {'not be negative' if zero else 'be positive'}")
    return value.total_seconds()


def at_least_one(value: int, where: str, otherwise: str = "") -> int:
    """Return a whole number from 1. `otherwise` names an alternative for the error text."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise DefinitionError(f"{where}={value!r}: say a whole number{otherwise}")
    if value < 1:
        raise DefinitionError(f"{where}={value} must be at least 1{otherwise}")
    return value


def one_of(value: V, allowed: Sequence[V], where: str) -> V:
    """Return a value that is among those allowed."""
    if value not in allowed:
        raise DefinitionError(f"{where}={value!r}: say {' or '.join(repr(one) for one in allowed)}")
    return value


class Pending(partial[V]):
    """A decorator with options that waits for its method. A class that has one left in it is refused."""


def several(value: Iterable[V] | None, where: str) -> tuple[V, ...] | None:
    """Return nodes as a tuple; None for None."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        shown = getattr(value, "shown", "") or repr(value)
        raise DefinitionError(f"{where}={shown}: write a list, even of one: {where}=[{shown}]")
    return tuple(value)


def no_undo(compensate: object, where: str) -> bool:
    """Return whether a step says that there is nothing to undo; `...` says nothing."""
    if compensate is not None and compensate is not ...:
        raise DefinitionError(
            f"{where}(compensate={compensate!r}): only None is said here: the compensation is a method of its own, "
            "below the step, with @NAME_OF_THE_STEP.compensate above it"
        )
    return compensate is None


def instance_of(value: V, kind: type, where: str) -> V:
    """Return an object of this class."""
    if not isinstance(value, kind):
        raise DefinitionError(f"{where}={value!r}: say {kind.__name__}(...)")
    return value


def knows_its_options(fn: F) -> F:
    """Decorate a function so that a misspelt option is refused with the name of the nearest option that exists."""
    return _checked(fn, fn.__name__)


def knows_its_fields(cls: type[V]) -> type[V]:
    """Decorate a class as `knows_its_options` decorates a function."""
    init: Any = cls.__init__
    cls.__init__ = _checked(init, cls.__name__)  # type: ignore[method-assign]  # a decorator wraps it
    return cls


_INNER = {
    "retry": (("max_attempts", "reject_on", "not_done_on"), "retry=RetryPolicy({}=...)"),
    "limit": (("max_concurrent", "per_second"), "limit=Limit(name, {}=...)"),
}
"""Options whose values have options of their own, which are taken for those of the decorator."""


def _within(name: str, known: Sequence[str]) -> str:
    """Return where an option belongs that the value of another option has; empty for any other name."""
    for option, (names, written) in _INNER.items():
        if option in known and name in names:
            return f": write {written.format(name)}"
    return ""


def _checked(fn: F, what: str) -> F:
    parameters = signature(fn).parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items() if name != "self"}
    known = [name for name, kind in kinds.items() if kind in (kind.KEYWORD_ONLY, kind.POSITIONAL_OR_KEYWORD)]
    most = sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters.values())
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters.values())

    @wraps(fn)
    def checked(*args: Any, **options: Any) -> Any:
        if len(args) > most and not takes_any:
            raise DefinitionError(f"{what}(..., {args[most]!r}): give options by name; there are: {', '.join(known)}")
        for name in options:
            if name not in known:
                hint = _within(name, known) or nearest(name, known)
                raise DefinitionError(
                    f"{what}({name}=...): there is no such option{hint}; there are: {', '.join(known)}"
                )
        return fn(*args, **options)

    return checked  # type: ignore[return-value]  # it has the signature of `fn`
