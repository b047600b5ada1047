"""The compiled definition: a plan with its functions and codecs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from sagakit.definition.context import Context
from sagakit.definition.nodes import Backend
from sagakit.definition.plan import Plan
from sagakit.definition.policy import Limit, RetryPolicy
from sagakit.definition.value_codec import Codec
from sagakit.errors import InvalidInput, Unwritable

Runner: TypeAlias = Literal["trio", "asyncio", "thread"]
"""Place where a function runs: the trio loop, an asyncio loop, or a worker thread."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The class arguments of a saga. `deadline` in seconds."""

    name: str
    version: int
    deadline: float | None
    backend: Backend


class Function(msgspec.Struct, frozen=True):
    """A user's function, which is called with the saga instance first.

    A plain function may wrap a coroutine function: if it returns an awaitable, that is awaited under `backend`.
    """

    fn: Callable[..., Any]
    runner: Runner
    policy: RetryPolicy
    limit: Limit | None = None
    backend: Backend = "trio"


class NodeDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """The functions and codecs of one node.

    `result` is for the result of one call; of an each, that of one item. `given` is for what the node starts with: the
    items of an each, the input of a child. `prepare` computes it, from the results of `inputs` for an each, else from
    input and context.
    """

    name: str
    action: Function | None = None
    check: Function | None = None
    undo: Function | None = None
    condition: Callable[[Any, Context], bool] | None = None
    inputs: tuple[str, ...] = ()
    result: Codec
    prepare: Callable[..., Any] | None = None
    given: Codec | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled saga class."""

    plan: Plan
    nodes: dict[str, NodeDefinition]
    input: Codec
    output: Codec

    @property
    def needs_asyncio(self) -> bool:
        """True if any function runs under asyncio, or may return an awaitable for it."""
        functions = (fn for node in self.nodes.values() for fn in (node.action, node.check, node.undo))
        return any(fn is not None and fn.backend == "asyncio" for fn in functions)

    def encode_input(self, value: object) -> bytes:
        """Return the input as JSON. Raises InvalidInput."""
        try:
            return self.input.encode(value)
        except Unwritable as error:
            text = f"{self.plan.saga_type}: not an input of type {self.plan.input_type}: {error.reason}"
            raise InvalidInput(text) from error.__cause__
