"""What a step may depend on: all that type checkers need to know of a node."""

from __future__ import annotations

from typing import Generic

from typing_extensions import TypeVar

P_co = TypeVar("P_co", covariant=True)


class Dependency(Generic[P_co]):
    """What `@step` takes of a node. P_co is a tuple of its result: so that type checkers can tell it from `Absent`."""

    name: str
    """The node's name in its class; empty until the class is made."""
