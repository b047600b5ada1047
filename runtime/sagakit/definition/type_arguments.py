"""The arguments of a class's generic bases, by their type variables."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Generic, TypeAlias, TypeVar, get_args, get_origin

Variables: TypeAlias = Mapping[Any, Any]
"""Arguments by type variable."""


def variables_of(cls: type) -> dict[type, Variables]:
    """Return the arguments of each base of a class and of the class itself. An argument may be a type variable."""
    found: dict[type, Variables] = {}

    def visit(one: type, own: Variables) -> None:
        if own or one not in found:
            found[one] = own
        for base in vars(one).get("__orig_bases__", one.__bases__):
            origin: Any = get_origin(base) or base
            if origin is not Generic:
                pairs = zip(getattr(origin, "__parameters__", ()), get_args(base), strict=False)
                visit(origin, {variable: substituted(type, own) for variable, type in pairs})

    visit(cls, {})
    return found


def substituted(hint: Any, variables: Variables) -> Any:
    """Return a type with its type variables replaced by their arguments."""
    if hint is None:
        return NoneType
    if isinstance(hint, TypeVar):
        return variables.get(hint, hint)
    within = open_variables(hint)
    return hint[tuple(variables.get(one, one) for one in within)] if variables and within else hint


def open_variables(hint: Any) -> tuple[Any, ...]:
    """Return the type variables within a type."""
    if isinstance(hint, TypeVar):
        return (hint,)
    return getattr(hint, "__parameters__", ()) if get_origin(hint) is not None else ()
