"""The plan: a saga definition as data. The engine works on plans and never sees user code.

A plan is a DAG of nodes. Its digest covers topology, names and types only, so that a timeout or a retry policy can be
tuned without a new version.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from typing import Literal

import msgspec

OnUnknown = Literal["retry", "check", "undo", "ask"]
"""What to do about an attempt whose outcome is unknown (P3): try again under the same key, ask the step's check,
undo at once, or hand it to a person."""

Position = Literal["before", "pivot", "after"]
"""Where a node stands. Without a pivot every node is `before`."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how soon again. `attempts` counts the calls of one budget, None is without limit; times in seconds.

    The wait before attempt n+1 is `min(most, first * factor ** (n - 1))`, spread by jitter.
    """

    attempts: int | None = 5
    first: float = 0.2
    factor: float = 2.0
    most: float = 30.0


class UndoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The compensation of a node."""

    retries: Retries
    timeout: float


class NodePlan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One node. `after` names the nodes that must be done or skipped first; `inputs` those whose results it is given.

    `condition` says that the node has a `when=` to be decided before its first attempt. `timeout` in seconds bounds
    each attempt of the action and of the check.
    """

    name: str
    kind: Literal["step"] = "step"
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    position: Position = "before"
    on_unknown: OnUnknown = "retry"
    has_check: bool = False
    condition: bool = False
    timeout: float = 30.0
    retries: Retries = Retries()
    undo: UndoPlan | None = None
    result_type: str = "None"

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """What the digest covers."""
        return (self.name, self.kind, self.after, self.inputs, self.position, self.result_type, self.undo is not None)


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A definition as data. `nodes` stand in an order in which each comes after those it depends on.

    `deadline` is seconds from the start of the saga. `has_output` says that the definition computes an output.
    """

    saga_type: str
    version: int = 1
    nodes: tuple[NodePlan, ...]
    deadline: float | None = None
    has_output: bool = False
    input_type: str = "None"
    output_type: str = "None"

    @cached_property
    def digest(self) -> str:
        """16 hex digits over topology, names and types."""
        shape = (self.saga_type, self.input_type, self.output_type, tuple(node.shape for node in self.nodes))
        return sha256(msgspec.json.encode(shape)).hexdigest()[:16]

    @cached_property
    def by_name(self) -> dict[str, NodePlan]:
        """The nodes by their names."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def descendants(self) -> dict[str, frozenset[str]]:
        """For each node all the nodes that come after it, directly or not."""
        found: dict[str, set[str]] = {node.name: set() for node in self.nodes}
        for node in reversed(self.nodes):
            for parent in node.after:
                found[parent] |= {node.name} | found[node.name]
        return {name: frozenset(after) for name, after in found.items()}

    @cached_property
    def has_conditions(self) -> bool:
        """Whether any node has a `when=`."""
        return any(node.condition for node in self.nodes)

    @cached_property
    def pivot(self) -> NodePlan | None:
        """The node after which the saga only goes forward, if there is one."""
        return next((node for node in self.nodes if node.position == "pivot"), None)
