"""The plan: a saga definition as data. The engine works on plans and never sees user code.

A plan is a DAG of nodes. Its digest covers topology, names and types only, so that a timeout or a retry policy can be
tuned without a new version.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from typing import Literal, get_args

import msgspec

OnUnknown = Literal["retry", "check", "undo", "ask"]
"""The way on after an attempt with an unknown outcome (P3): try again under the same key, ask the step's check, undo
at once, or ask a person."""

Kind = Literal["step", "each", "signal", "timer", "child", "remote"]
"""Kind of a node: one call; a call for each item of a list; a message from outside; a time; another saga; a command to
another service."""

CALLED: frozenset[Kind] = frozenset({"step", "child", "remote"})
"""The kinds of node that begin with an attempt; all others begin without a call."""
UNCALLED: frozenset[Kind] = frozenset[Kind](get_args(Kind)) - CALLED - {"each"}
"""The kinds of node that never call anything: no operator completes or undoes them. An each calls for its items."""

Position = Literal["before", "pivot", "after"]
"""Position of a node relative to the pivot. Without a pivot every node is `before`."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """A retry policy as data. `max_attempts` counts the calls of one budget; None is without limit. Times in seconds.

    The wait before attempt n+1 is `min(max_interval, initial_interval * multiplier ** (n - 1))`, spread by jitter.
    """

    max_attempts: int | None = 5
    initial_interval: float = 0.2
    multiplier: float = 2.0
    max_interval: float = 30.0


class UndoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The compensation of a node. `timeout` in seconds bounds each attempt."""

    retries: Retries
    timeout: float


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of a participant that do a remote node's work, undo it, and check whether it happened.

    Each is `{service}.{endpoint}`; empty if the node has none.
    """

    do: str
    undo: str = ""
    check: str = ""


class NodePlan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A node. `after` names the nodes that must be done or skipped first; `inputs` those whose results it is given.

    `condition` says that the node has a `when=` to be decided before it starts, `prepared` that the definition
    computes what it starts with: the items of an each, the input of a child, the time of a timer, the payload of a
    command. The commands of a remote node go to its `endpoints`. `timeout` in seconds bounds each attempt of the
    action and of the check, `heartbeat` how long an action, or the participant of a remote node, may be silent. `wait`
    in seconds is a timer's delay, or how long a signal is awaited before `on_timeout`; None is forever. `of` names the
    each that this is an item of, `child_type` the saga that a child is.
    """

    name: str
    kind: Kind = "step"
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    position: Position = "before"
    on_unknown: OnUnknown = "retry"
    has_check: bool = False
    condition: bool = False
    prepared: bool = False
    timeout: float = 30.0
    heartbeat: float | None = None
    retries: Retries = Retries()
    undo: UndoPlan | None = None
    result_type: str = "None"
    wait: float | None = None
    on_timeout: Literal["compensate", "continue"] = "compensate"
    max_concurrent: int = msgspec.field(name="parallel", default=1)  # the name in plans that are stored
    of: str = ""
    child_type: str = ""
    endpoints: Endpoints | None = None

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """The part of the node that the digest covers."""
        undone = self.undo is not None
        own = (self.child_type,) if self.child_type else ()
        return (self.name, self.kind, self.after, self.inputs, self.position, self.result_type, undone, *own)

    @cached_property
    def step(self) -> str:
        """The node's name in the definition: an item has that of its each."""
        return self.of or self.name


ITEM = "/"
"""Separator between the name of an each and the number of an item. Names of nodes cannot contain it."""


def item_name(each: str, number: int) -> str:
    """Return the name of one item of an each, for the step log and for keys."""
    return f"{each}{ITEM}{number}"


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
        """A digest of 16 hex digits over topology, names and types."""
        shape = (self.saga_type, self.input_type, self.output_type, tuple(node.shape for node in self.nodes))
        return sha256(msgspec.json.encode(shape)).hexdigest()[:16]

    @cached_property
    def by_name(self) -> dict[str, NodePlan]:
        """The nodes by their names."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def _items(self) -> dict[str, NodePlan]:
        return {}

    def node(self, name: str) -> NodePlan:
        """Return the node, or the item of an each, of this name. Raises KeyError."""
        return self.by_name.get(name) or self._items.get(name) or self._item(name)

    def step_of(self, name: str) -> str:
        """Return the name in the definition: an item has that of its each."""
        return name.partition(ITEM)[0]

    def _item(self, name: str) -> NodePlan:
        """Return the plan of an item: it has the place of its each, and is called like a step."""
        each = self.by_name[name.partition(ITEM)[0]]
        item = msgspec.structs.replace(each, name=name, kind="step", of=each.name, condition=False, prepared=False)
        self._items[name] = item
        return item

    @cached_property
    def descendants(self) -> dict[str, frozenset[str]]:
        """The nodes that come after each node, directly or not."""
        found: dict[str, set[str]] = {node.name: set() for node in self.nodes}
        for node in reversed(self.nodes):
            for parent in node.after:
                found[parent] |= {node.name} | found[node.name]
        return {name: frozenset(after) for name, after in found.items()}

    @cached_property
    def asks(self) -> bool:
        """True if the definition is asked a question before some node starts."""
        return any(node.condition or node.prepared for node in self.nodes)

    @cached_property
    def has_items(self) -> bool:
        """True if any node is an each."""
        return any(node.kind == "each" for node in self.nodes)

    @cached_property
    def has_commands(self) -> bool:
        """True if any node is done by commands to a participant."""
        return any(node.endpoints is not None for node in self.nodes)

    @cached_property
    def pivot(self) -> NodePlan | None:
        """The node after which the saga only goes forward; None if there is none."""
        return next((node for node in self.nodes if node.position == "pivot"), None)
