"""The adapters of classes that msgspec does not know, such as pydantic's models.

msgspec itself reads and writes Structs, dataclasses, attrs classes, TypedDicts, NamedTuples, enums and plain types; no
adapter is in their way. A class of another library is written by that library. Its adapter is found by looking at the
class, so that sagakit imports nothing that the user has not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import msgspec.inspect

from sagakit.definition.pydantic_adapter import (
    PydanticAdapter,
    is_driven_by_pydantic,
    is_pydantic,
    is_root,
    pydantic_fields,
    pydantic_values,
    takes_other_fields,
)
from sagakit.definition.schema_nodes import SchemaNode


class Adapter(Protocol):
    """Reads and writes values of one type by the library that the type comes from."""

    is_exact: bool
    """True if the type says all about its values, so that one that comes back unequal has changed."""

    def fault(self) -> str | None:
        """Return why values of the type cannot be kept, and what to do; None if they can."""
        ...

    def encode(self, value: object) -> bytes:
        """Return a value as JSON. Raises whatever the library and the code of the type raise."""
        ...

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """Return the value. Raises Invalid, and whatever the code of the type raises."""
        ...

    def schema(self) -> SchemaNode:
        """Return the JSON Schema of what is kept, complete in itself."""
        ...


def adapter_of(hint: Any) -> Adapter | None:
    """Return the adapter for a type as a whole; None if msgspec reads it. Raises TypeError, NameError."""
    return PydanticAdapter(hint) if is_driven_by_pydantic(hint) else None


_known: dict[type, Adapter] = {}


def adapter_of_class(cls: type) -> Adapter | None:
    """Return the adapter of a class within a type that msgspec reads; None if there is none.

    Raises TypeError, NameError.
    """
    if cls not in _known:
        if not is_pydantic(cls):
            return None
        _known[cls] = PydanticAdapter(cls)
    return _known[cls]


def fault_of_class(info: object) -> str | None:
    """Return why msgspec must not read a class by itself: its own library would validate it. None if it may."""
    if isinstance(info, msgspec.inspect.DataclassType) and is_pydantic(info.cls):
        return (
            f"{info.cls.__qualname__} is a pydantic dataclass within a class that is not pydantic's, where nothing "
            "would validate it: make it a pydantic.BaseModel, or the class around it a pydantic dataclass, too"
        )
    return None


def write_adapted(value: object) -> Any:
    """Return the JSON of a value that msgspec does not know, for its encoder. Raises TypeError if nothing knows it."""
    adapter = adapter_of_class(type(value))
    if adapter is None:
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return msgspec.Raw(adapter.encode(value))


def read_adapted(cls: Any, plain: object) -> Any:
    """Return a value of a class that msgspec does not know, from plain JSON objects. Raises Invalid."""
    adapter = adapter_of_class(cls)
    assert adapter is not None, "the codec has asked for it"
    return adapter.decode(msgspec.json.encode(plain))


def opened(value: object) -> Any:
    """Return the fields of a value that msgspec does not know, as they are; any other value as its `repr`."""
    return pydantic_values(value) if is_pydantic(type(value)) else repr(value)


def opened_only(value: object) -> Any:
    """Return the fields of a value that msgspec does not know, as they are. Raises TypeError for any other value."""
    if not is_pydantic(type(value)):
        raise TypeError(f"{type(value).__name__} has no fields")
    return pydantic_values(value)


def adapted_fields(cls: type) -> Mapping[str, Sequence[str]] | None:
    """Return the fields of a class that msgspec does not know, by attribute, with their names in JSON; or None.

    The first name is the one that is written; all are read.
    """
    return pydantic_fields(cls) if is_pydantic(cls) else None


def accepts_other_fields(cls: type) -> bool:
    """Return whether a class that msgspec does not know keeps fields that it does not declare."""
    return is_pydantic(cls) and takes_other_fields(cls)


def holds_value(cls: type) -> bool:
    """Return whether a class that msgspec does not know has one value instead of fields, and is written as it."""
    return is_pydantic(cls) and is_root(cls)


def held_value(value: object) -> Any:
    """Return the one value that an instance of such a class has."""
    return pydantic_values(value)
