"""The compiled definition: a plan with its functions and codecs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, Literal, TypeAlias

import msgspec
import msgspec.inspect

from sagakit.definition.annotations import show
from sagakit.definition.context import Context
from sagakit.definition.json_schema import Schema, json_schema
from sagakit.definition.lost_fields import has_fields, refuse_lost_fields
from sagakit.definition.nesting import check_nesting
from sagakit.definition.nodes import Backend
from sagakit.definition.plan import Plan
from sagakit.definition.policy import Limit, RetryPolicy
from sagakit.definition.raised import is_interrupt, plain, told
from sagakit.definition.survival import (
    fault_of_hint,
    fault_of_keys,
    may_change,
    may_hold_times,
    refuse_lost_zones,
    refuse_what_changes,
)
from sagakit.errors import DoesNotFit, InvalidInput, UnreadableValue, Unwritable

Runner: TypeAlias = Literal["trio", "asyncio", "thread"]
"""Place where a function runs: the trio loop, an asyncio loop, or a worker thread."""

NULL = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder()
_PATH = re.compile(r" - at `(.+)`$")


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


class Codec:
    """Writes values of one type as JSON, and reads them. Raises TypeError for a type that JSON cannot hold.

    A value that would come back changed is refused. It is compared only if the type does not rule that out. A value
    with a field that the declared type does not have, such as a dict with a misspelled name, or a value of another
    class is refused, too. In what is read such a field is ignored: a newer version may have written it.

    Reading and writing run code of the type, such as a `__post_init__`. Exceptions of that code become one error of
    sagakit here, and nowhere else; only those that concern the whole program pass. `what` names the value in errors.
    """

    __slots__ = ("_decoder", "_has_fields", "_may_change", "_may_hold_times", "_may_lose_floats", "_what", "type")

    def __init__(self, type: Any, what: str = "the value") -> None:
        fault = fault_of_hint(type)
        if fault is not None:
            raise TypeError(fault)
        within = list(_types_within(msgspec.inspect.type_info(type), set()))
        for info in within:
            fault = fault_of_keys(info)
            if fault is not None:
                raise TypeError(fault)
            if isinstance(info, msgspec.inspect.CustomType):
                raise TypeError(
                    f"{info.cls.__qualname__} is not a dataclass, msgspec.Struct, TypedDict or plain JSON type"
                )
        self.type: Any = type
        self._what = what
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type)
        self._may_lose_floats = any(_takes_float_and_null(info) for info in within)
        self._may_hold_times = any(may_hold_times(info) for info in within)
        self._has_fields = any(has_fields(info) for info in within)
        self._may_change = any(may_change(info) for info in within)

    def decode(self, value: bytes | msgspec.Raw) -> Any:
        """Return the value; for empty JSON the value of null. Raises UnreadableValue."""
        try:
            return self._decoder.decode(value if memoryview(value).nbytes else NULL)
        except BaseException as error:  # of the type
            raise self._does_not_fit(UnreadableValue, error) from error

    def schema(self) -> Schema:
        """Return the JSON Schema of the values as they are kept."""
        return json_schema(self.type)

    def same(self, one: bytes | msgspec.Raw, other: bytes | msgspec.Raw) -> bool:
        """Return whether two pieces of JSON are the same value: sets and dicts in any order, 5 for 5.0 in a float.

        If the members of a set have no order, `==` decides. Raises UnreadableValue, also if `==` raises.
        """
        first, second = self.decode(one), self.decode(other)
        try:
            return _are_same(first, second)
        except BaseException as error:  # of the type
            raise self._does_not_fit(UnreadableValue, error) from error

    def encode(self, value: object) -> bytes:
        """Return the value as JSON that decodes as the type. Raises Unwritable."""
        try:
            return self._encoded(value)
        except BaseException as error:  # of the type
            raise self._does_not_fit(Unwritable, error) from error

    def _encoded(self, value: object) -> bytes:
        data = _encoder.encode(value)
        check_nesting(data)
        if self._may_lose_floats and b"null" in data:
            _refuse_what_is_not_finite(value)
        try:
            back = self._decoder.decode(data)
        except msgspec.ValidationError:
            _refuse_what_is_not_finite(value)
            raise
        if self._may_hold_times:
            refuse_lost_zones(value, data)
        if self._may_change:
            again = _encoder.encode(back)
            if again != data:
                refuse_what_changes(data, again)
        if self._has_fields:
            refuse_lost_fields(value, back)
        return data

    def _does_not_fit(self, kind: type[DoesNotFit], error: BaseException) -> DoesNotFit:
        """Return an error of reading or writing as one of sagakit. Raise it if it concerns the whole program."""
        if is_interrupt(error):
            raise error
        path = _PATH.search(plain(error)) if isinstance(error, msgspec.ValidationError) else None
        return kind(self._what, show(self.type), _reason(error), path and path[1])


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it contains itself, or is nested too deeply"
    return plain(error) if isinstance(error, msgspec.MsgspecError | TypeError | ValueError) else told(error)


def _are_same(one: object, other: object) -> bool:
    try:
        return _in_order(one) == _in_order(other)
    except TypeError:
        return bool(one == other)


def _in_order(value: object) -> bytes:
    """Return JSON in which equal values are equal. Raises TypeError for a set whose members have no order."""
    return _encoder.encode(msgspec.to_builtins(value, str_keys=True, order="deterministic"))


def _takes_float_and_null(info: object) -> bool:
    """Return whether NaN and infinity, which msgspec writes as null, would come back as None."""
    if isinstance(info, msgspec.inspect.UnionType):
        kinds = [type(one) for one in info.types]
        return msgspec.inspect.FloatType in kinds and msgspec.inspect.NoneType in kinds
    return isinstance(info, msgspec.inspect.AnyType)


def _types_within(info: object, seen: set[int]) -> Iterator[object]:
    """Yield a type and all types within it."""
    if isinstance(info, list | tuple):
        for one in info:
            yield from _types_within(one, seen)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field) and id(info) not in seen:
        seen.add(id(info))
        yield info
        for name in info.__struct_fields__:
            yield from _types_within(getattr(info, name), seen)


def _refuse_what_is_not_finite(value: object) -> None:
    for number in _floats_within(msgspec.to_builtins(value, str_keys=True, enc_hook=repr)):
        if not isfinite(number):
            raise ValueError(f"{number} is not a JSON number, and would be kept as null: use None or a text instead")


def _floats_within(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        yield from _floats_within(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _floats_within(one)


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
