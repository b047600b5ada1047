"""The nodes of a `Saga` class and its bases."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from inspect import getattr_static
from typing import Any

from sagakit.definition.nodes import Node, Undo, place
from sagakit.errors import DefinitionError


def has_nodes(saga: type) -> bool:
    """Return whether a class or a base of it has a node."""
    return any(isinstance(value, Node) or _wraps_a_node(value) for _, _, value in _members(saga))


def owners_of(saga: type) -> dict[Node[Any], type]:
    """Return the nodes of a class and its bases in their order, each with the class that defines it.

    The last base comes first and the class itself last, as with the fields of a dataclass. Raises DefinitionError.
    """
    found: dict[Node[Any], type] = {}
    for owner, name, value in _members(saga):
        where = f"{saga.__name__}.{name}"
        if _wraps_a_node(value):
            if isinstance(value, staticmethod | classmethod):
                raise DefinitionError(f"{where}: a step is called with the saga as self: remove {type(value).__name__}")
            raise DefinitionError(f"{where}: a decorator is above the node, and hides it: put it below")
        if isinstance(value, Node | Undo) and getattr_static(saga, name) is not value:
            raise DefinitionError(f"{where}: hides the one in {owner.__qualname__}: give it another name")
        if isinstance(value, Node):
            if value.place != place(owner, name):
                raise DefinitionError(f"{where}: is the node {value.place} once more: remove it, or make another")
            found[value] = owner
    return found


def _wraps_a_node(value: object) -> bool:
    """Return whether a decorator has wrapped a node, so that the saga would not see it."""
    match value:
        case staticmethod() | classmethod():
            inner: object = value.__func__
        case cached_property():
            inner = value.func
        case property():
            inner = value.fget
        case _:
            inner = getattr(value, "__dict__", {}).get("__wrapped__")  # of functools.wraps, and of a cache
    return isinstance(inner, Node)


def _members(saga: type) -> Iterator[tuple[type, str, Any]]:
    return ((owner, name, value) for owner in reversed(saga.__mro__) for name, value in vars(owner).items())
