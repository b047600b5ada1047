"""A compiled definition: the plan, and the functions and codecs that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec
import msgspec.inspect

from sagakit.definition.context import Ctx
from sagakit.definition.nodes import Backend
from sagakit.definition.plan import Plan
from sagakit.definition.policy import Limit, RetryPolicy
from sagakit.errors import InvalidInput

Runner: TypeAlias = Literal["trio", "asyncio", "thread"]
"""Where a function runs: in the trio loop, in an asyncio loop, in a worker thread."""

_encoder = msgspec.json.Encoder()


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What was written beside the class's name. `deadline` in seconds."""

    name: str
    version: int
    deadline: float | None
    backend: Backend


class Function(msgspec.Struct, frozen=True):
    """A user's function: called with the saga instance first."""

    fn: Callable[..., Any]
    runner: Runner
    policy: RetryPolicy
    limit: Limit | None = None


class Codec:
    """One type, to JSON and back. Raises TypeError for a type that JSON cannot hold."""

    __slots__ = ("_decoder", "type")

    def __init__(self, type: Any) -> None:
        unknown = _custom_types(msgspec.inspect.type_info(type), set())
        if unknown:
            raise TypeError(f"{unknown[0].__qualname__} is no dataclass, msgspec.Struct, TypedDict or plain JSON type")
        self.type: Any = type
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type)

    def decode(self, value: bytes | msgspec.Raw) -> Any:
        """Raises msgspec.DecodeError."""
        return self._decoder.decode(value)

    def encode(self, value: object) -> bytes:
        """The value as JSON that decodes again as the type. Raises TypeError, ValueError, msgspec.ValidationError."""
        data = _encoder.encode(value)
        self._decoder.decode(data)
        return data


def _custom_types(info: object, seen: set[int]) -> list[type]:
    """The classes within a type of which msgspec would know nothing but the name."""
    if isinstance(info, msgspec.inspect.CustomType):
        return [info.cls]
    if isinstance(info, list | tuple):
        return [cls for one in info for cls in _custom_types(one, seen)]
    if not isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field) or id(info) in seen:
        return []
    seen.add(id(info))
    return [cls for name in info.__struct_fields__ for cls in _custom_types(getattr(info, name), seen)]


class NodeDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One node's functions and codecs.

    `result` is what one call gives: of an each, one item's. `given` is what the node starts with: an each's items, a
    child's input; `prepare` computes it, from the results of `inputs` for an each, from input and context otherwise.
    """

    name: str
    action: Function | None = None
    check: Function | None = None
    undo: Function | None = None
    condition: Callable[[Any, Ctx], bool] | None = None
    inputs: tuple[str, ...] = ()
    result: Codec
    prepare: Callable[..., Any] | None = None
    given: Codec | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A saga class, compiled."""

    plan: Plan
    nodes: dict[str, NodeDefinition]
    input: Codec
    output: Codec

    @property
    def needs_asyncio(self) -> bool:
        """Whether any function runs under asyncio."""
        functions = (fn for node in self.nodes.values() for fn in (node.action, node.check, node.undo))
        return any(fn is not None and fn.runner == "asyncio" for fn in functions)

    def encode_input(self, value: object) -> bytes:
        """The input as JSON. Raises InvalidInput."""
        try:
            return self.input.encode(value)
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            raise InvalidInput(f"{self.plan.saga_type}: not an input of type {self.plan.input_type}: {error}") from None
