"""What a `Saga` class consists of, its bases included."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getattr_static
from typing import Any

from sagakit.definition.nodes import Node, Undo, place
from sagakit.errors import DefinitionError


def has_nodes(saga: type) -> bool:
    """Whether a class or a base of it has a node."""
    return any(isinstance(value, Node) or _wraps_a_node(value) for _, _, value in _members(saga))


def owners_of(saga: type) -> dict[Node[Any], type]:
    """The nodes of a class and its bases in their order, each with the class that it stands in.

    The last base comes first and the class itself last, as the fields of a dataclass. Raises DefinitionError.
    """
    found: dict[Node[Any], type] = {}
    for owner, name, value in _members(saga):
        where = f"{saga.__name__}.{name}"
        if _wraps_a_node(value):
            raise DefinitionError(f"{where}: a step is called with the saga as self: remove {type(value).__name__}")
        if isinstance(value, Node | Undo) and getattr_static(saga, name) is not value:
            raise DefinitionError(f"{where}: hides what stands in {owner.__qualname__}: give it another name")
        if isinstance(value, Node):
            if value.place != place(owner, name):
                raise DefinitionError(f"{where}: is the node {value.place} once more: remove it, or make another")
            found[value] = owner
    return found


def _wraps_a_node(value: object) -> bool:
    return isinstance(value, staticmethod | classmethod) and isinstance(value.__func__, Node)


def _members(saga: type) -> Iterator[tuple[type, str, Any]]:
    return ((owner, name, value) for owner in reversed(saga.__mro__) for name, value in vars(owner).items())
