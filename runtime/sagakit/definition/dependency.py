"""The part of a node that type checkers need where a step depends on it."""

from __future__ import annotations

from typing import Generic

from typing_extensions import TypeVar

P_co = TypeVar("P_co", covariant=True)


class Dependency(Generic[P_co]):
    """A node as `@step` takes it. P_co is a tuple of its result, so that type checkers can tell it from `Absent`."""

    name: str
    """The node's name in its class; empty until the class is created."""
