"""What the type variables of a class's generic bases stand for."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Generic, TypeAlias, TypeVar, get_args, get_origin

Variables: TypeAlias = Mapping[Any, Any]
"""What type variables stand for."""


def variables_of(cls: type) -> dict[type, Variables]:
    """For each base of a class, and the class itself, what its type variables stand for; they may be others."""
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
    """A type with its type variables replaced by what they stand for."""
    if hint is None:
        return NoneType
    if isinstance(hint, TypeVar):
        return variables.get(hint, hint)
    within = open_variables(hint)
    return hint[tuple(variables.get(one, one) for one in within)] if variables and within else hint


def open_variables(hint: Any) -> tuple[Any, ...]:
    """The type variables within a type."""
    if isinstance(hint, TypeVar):
        return (hint,)
    return getattr(hint, "__parameters__", ()) if get_origin(hint) is not None else ()
