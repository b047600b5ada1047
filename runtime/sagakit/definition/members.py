"""What stands in the body of a `Saga` class."""

from __future__ import annotations

from typing import Any

from sagakit.definition.nodes import Node, place
from sagakit.errors import DefinitionError


def nodes_of(saga: type) -> list[Node[Any]]:
    """The nodes of a class, in their order. Raises DefinitionError."""
    found: list[Node[Any]] = []
    for name, value in vars(saga).items():
        if isinstance(value, Node):
            if value.place != place(saga, name):
                raise DefinitionError(
                    f"{saga.__name__}.{name}: is the node {value.place} under a second name: remove it, or make another"
                )
            found.append(value)
    return found
