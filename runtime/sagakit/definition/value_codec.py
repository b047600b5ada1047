"""The codec of one type: to JSON and back, with the checks that a value survives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import msgspec
import msgspec.inspect as mi

from sagakit.definition.adapters import (
    Adapter,
    adapter_of,
    adapter_of_class,
    fault_of_class,
    opened,
    opened_only,
    read_adapted,
    write_adapted,
)
from sagakit.definition.annotations import show
from sagakit.definition.constraints import fault_of_metas, with_constraints
from sagakit.definition.json_schema import Schema, json_schema
from sagakit.definition.lost_fields import has_fields, refuse_lost_fields
from sagakit.definition.misfits import with_given_type
from sagakit.definition.nesting import check_nesting
from sagakit.definition.pydantic_adapter import Invalid
from sagakit.definition.raised import is_interrupt, plain, told
from sagakit.definition.survival import (
    fault_of_hint,
    fault_of_keys,
    may_change,
    may_hold_times,
    refuse_lost_zones,
    refuse_what_changes,
)
from sagakit.errors import DoesNotFit, UnreadableValue, Unwritable

NULL = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder()
_adapting_encoder = msgspec.json.Encoder(enc_hook=write_adapted)
_PATH = re.compile(r" - at `([^`]+)`$")
_TWO_PATHS = re.compile(r" - at `\$([^`]*)` - at `([^`]+)`$")
"""The path within a value that an adapter has read, and the path to that value."""


class Codec:
    """Writes values of one type as JSON, and reads them. Raises TypeError for a type that JSON cannot hold.

    msgspec does it, or the adapter of another library: for the whole type, or for classes within.

    A value that would come back changed is refused. It is compared only if the type does not rule that out. A value
    with a field that the declared type does not have, such as a dict with a misspelled name, or a value of another
    class is refused, too. In what is read such a field is ignored: a newer version may have written it.

    Reading and writing run code of the type, such as a `__post_init__`. Exceptions of that code become one error of
    sagakit here, and nowhere else; only those that concern the whole program pass. `what` names the value in errors.
    """

    __slots__ = (
        "_adapter",
        "_has_fields",
        "_kept",
        "_may_change",
        "_may_hold_times",
        "_may_lose_floats",
        "_read",
        "_what",
        "_write",
        "type",
    )

    def __init__(self, type: Any, what: str = "the value") -> None:
        self.type: Any = type
        self._what = what
        self._kept: Any = type
        self._adapter: Adapter | None = adapter_of(type)
        self._may_lose_floats = self._may_hold_times = self._has_fields = self._may_change = True
        if self._adapter is None:
            self._use_msgspec(type)
        else:
            self._use_adapter(self._adapter)

    def _use_adapter(self, adapter: Adapter) -> None:
        fault = adapter.fault() or fault_of_metas(self.type)
        if fault is not None:
            raise TypeError(fault)
        self._read: Callable[[bytes | msgspec.Raw], Any] = adapter.decode
        self._write: Callable[[object], bytes] = _written_by(adapter)

    def _use_msgspec(self, type: Any) -> None:
        kept = with_constraints(type)
        fault = fault_of_hint(kept)
        if fault is not None:
            raise TypeError(fault)
        self._kept = kept
        within = list(_types_within(_inspected(self._kept), set()))
        others = [info for info in within if isinstance(info, mi.CustomType)]
        adapted = list(map(_adapter_within, others))
        faults = (*(one.fault() for one in adapted), *(fault_of_metas(info.cls) for info in others))
        for fault in (*map(fault_of_keys, within), *map(fault_of_class, within), *faults):
            if fault is not None:
                raise TypeError(fault)
        # msgspec asks the hook about classes that it does not know, and about nothing else; they may be in an Any, too
        has_any = any(isinstance(info, mi.AnyType) for info in within)
        self._write = _adapting_encoder.encode if adapted or has_any else _encoder.encode
        self._read = msgspec.json.Decoder(self._kept, dec_hook=read_adapted if adapted else None).decode
        if not adapted:
            self._may_lose_floats = any(_takes_float_and_null(info) for info in within)
            self._may_hold_times = any(may_hold_times(info) for info in within)
            self._has_fields = any(has_fields(info) for info in within)
            self._may_change = any(may_change(info) for info in within)

    def decode(self, value: bytes | msgspec.Raw) -> Any:
        """Return the value; for empty JSON the value of null. Raises UnreadableValue."""
        try:
            return self._read(value if memoryview(value).nbytes else NULL)
        except BaseException as error:  # of the type
            raise self._does_not_fit(UnreadableValue, error) from error

    def schema(self) -> Schema:
        """Return the JSON Schema of the values as they are kept."""
        return json_schema(self._kept) if self._adapter is None else dict(self._adapter.schema())

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
            raise self._does_not_fit(Unwritable, error, value) from error

    def _encoded(self, value: object) -> bytes:
        data = self._write(value)
        check_nesting(data)
        if self._may_lose_floats and b"null" in data:
            _refuse_what_is_not_finite(value)
        try:
            back = self._read(data)
        except (msgspec.ValidationError, Invalid):
            _refuse_what_is_not_finite(value)
            raise
        if self._may_hold_times:
            refuse_lost_zones(value, data)
        if self._may_change:
            again = self._write(back)
            if again != data:
                refuse_what_changes(data, again)
        if self._has_fields:
            refuse_lost_fields(value, back, self._adapter)
        return data

    def _does_not_fit(self, kind: type[DoesNotFit], error: BaseException, given: object = None) -> DoesNotFit:
        """Return an error of reading, or of writing what was given. Raise it if it concerns the whole program."""
        if is_interrupt(error):
            raise error
        reason = _TWO_PATHS.sub(r" - at `\2\1`", _reason(error))
        path = _PATH.search(reason) if isinstance(error, msgspec.ValidationError | Invalid) else None
        at = path and path[1]
        if isinstance(error, msgspec.ValidationError):
            reason = with_given_type(reason, given, at)
        return kind(self._what, show(self.type), reason, at)


def _inspected(type: Any) -> mi.Type:
    try:
        return mi.type_info(type)
    except TypeError as error:
        if "Type unions" not in str(error):
            raise
        raise TypeError(
            f"{error}: classes in one union must be told apart: use tagged msgspec.Structs, or pydantic models that "
            "have a field such as kind: Literal['card'], in a pydantic model or as the whole type"
        ) from None


def _adapter_within(info: mi.CustomType) -> Adapter:
    adapter = adapter_of_class(info.cls)
    if adapter is None:
        raise TypeError(
            f"{info.cls.__qualname__} is not a dataclass, msgspec.Struct, TypedDict or plain JSON type, nor a class of "
            "attrs or pydantic"
        )
    return adapter


def _written_by(adapter: Adapter) -> Callable[[object], bytes]:
    def write(value: object) -> bytes:
        try:
            return adapter.encode(value)
        except Exception as error:  # a dict may be given in the place of a class, as for msgspec's types
            try:
                return _adapting_encoder.encode(value)
            except Exception:  # the first error is the one about the type that was declared
                raise error from None

    return write


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
    return _encoder.encode(msgspec.to_builtins(value, str_keys=True, order="deterministic", enc_hook=opened_only))


def _takes_float_and_null(info: object) -> bool:
    """Return whether NaN and infinity, which msgspec writes as null, would come back as None."""
    if isinstance(info, mi.UnionType):
        kinds = [type(one) for one in info.types]
        return mi.FloatType in kinds and mi.NoneType in kinds
    return isinstance(info, mi.AnyType)


def _types_within(info: object, seen: set[int]) -> Iterator[object]:
    """Yield a type and all types within it."""
    if isinstance(info, list | tuple):
        for one in info:
            yield from _types_within(one, seen)
    elif isinstance(info, mi.Type | mi.Field) and id(info) not in seen:
        seen.add(id(info))
        yield info
        for name in info.__struct_fields__:
            yield from _types_within(getattr(info, name), seen)


def _refuse_what_is_not_finite(value: object) -> None:
    for number in _floats_within(msgspec.to_builtins(value, str_keys=True, enc_hook=opened)):
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
