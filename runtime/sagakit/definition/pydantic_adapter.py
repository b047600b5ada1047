"""The adapter of pydantic's models and dataclasses, which pydantic itself validates and writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, get_args, get_origin

import msgspec

from sagakit.definition.pydantic_schema import fault_of_core, fault_of_schemas, schemas_of
from sagakit.definition.pydantic_schema import says_all as core_says_all
from sagakit.definition.schema_nodes import SchemaNode

MOST_TOLD = 3
"""Highest number of wrong fields in one error text."""


class Invalid(ValueError):
    """A value does not fit its type. The text ends with the path to it, as msgspec's texts do."""


def is_pydantic(kind: object) -> bool:
    """Return whether a type is a pydantic model or a pydantic dataclass. Imports nothing."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__")


def is_driven_by_pydantic(hint: Any) -> bool:
    """Return whether pydantic reads the whole of a type: it has a pydantic class, and no other class with fields."""
    if "pydantic" not in sys.modules:
        return False
    found = list(_classes_in(hint))
    return any(map(is_pydantic, found)) and all(is_pydantic(one) or not _has_fields(one) for one in found)


def _classes_in(hint: Any) -> Iterator[Any]:
    """Yield the classes that a type is composed of, without those of their fields."""
    if get_origin(hint) is Annotated:
        hint = hint.__origin__
    within = get_args(hint)
    yield get_origin(hint) or hint
    for one in within:
        yield from _classes_in(one)


def _has_fields(kind: Any) -> bool:
    names = ("__struct_fields__", "__dataclass_fields__", "__attrs_attrs__", "__total__", "_field_defaults")
    return isinstance(kind, type) and any(hasattr(kind, name) for name in names)


class PydanticAdapter:
    """Reads and writes one type by pydantic, under the aliases of its fields.

    Raises NameError if a field's type is not known yet, and TypeError for a type that pydantic cannot handle.
    """

    def __init__(self, hint: Any) -> None:
        from pydantic import PydanticUserError, TypeAdapter
        from pydantic_core import PydanticSerializationError, ValidationError

        try:
            for cls in filter(is_pydantic, _classes_in(hint)):
                _complete(cls)
            self._adapter: Any = TypeAdapter(hint)
            self._core: Any = self._adapter.core_schema
        except PydanticUserError as error:
            raise TypeError(f"pydantic cannot read it: {error.message.splitlines()[0]}") from None
        except AttributeError:  # of BaseModel itself
            raise TypeError("pydantic.BaseModel has no fields: name the model") from None
        self._validate = self._adapter.validator.validate_json
        self._invalid: type[Exception] = ValidationError
        self._unwritable: type[Exception] = PydanticSerializationError
        # `round_trip` leaves computed fields out; a warning about another class is not needed: what is read is compared
        self._write = partial(self._adapter.serializer.to_json, by_alias=True, round_trip=True, warnings=False)
        self.is_exact: bool = core_says_all(self._core)

    def fault(self) -> str | None:
        """Return why values of the type cannot be kept, and what to do; None if they can."""
        return fault_of_core(self._core) or fault_of_schemas(*schemas_of(self._adapter))

    def encode(self, value: object) -> bytes:
        """Return a value as JSON. Raises ValueError, and whatever code of the type raises."""
        try:
            data: bytes = self._write(value)
        except self._unwritable as error:
            raise ValueError(str(error)) from error
        if b"NaN" in data or b"Infinity" in data:  # a model may be told to write them
            _check_is_json(data)
        return data

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """Return the value. Raises Invalid, and whatever code of the type raises."""
        try:
            return self._validate(bytes(data))
        except self._invalid as error:
            raise Invalid(_in_words(error)) from error

    def schema(self) -> SchemaNode:
        """Return the JSON Schema of what is kept, complete in itself."""
        read, _ = schemas_of(self._adapter)
        return read


def _check_is_json(data: bytes) -> None:
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:
        raise ValueError("NaN and infinity are not JSON numbers: use None or a text instead") from None


def _complete(cls: Any) -> None:
    """Resolve names that were not known when a model was created. Raises NameError."""
    if not getattr(cls, "__pydantic_complete__", True):
        if hasattr(cls, "model_rebuild"):
            cls.model_rebuild()
        else:
            from pydantic.dataclasses import rebuild_dataclass

            rebuild_dataclass(cls)


def _in_words(error: Any) -> str:
    """Return a validation error as msgspec words its own: the message first, the path of the field last."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    first, *others = [(str(fault["msg"]), _path(fault["loc"])) for fault in faults]
    more = [f"{text} at `{path}`" for text, path in others[: MOST_TOLD - 1]]
    if len(faults) > MOST_TOLD:
        more.append(f"{len(faults) - MOST_TOLD} more")
    text = "; ".join([first[0], *more])
    return text if first[1] == "$" else f"{text} - at `{first[1]}`"


def _path(where: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in where)


# ---------------------------------------------------------------- the fields


def is_root(cls: Any) -> bool:
    """Return whether a class is a root model, which has one value and no fields."""
    return bool(getattr(cls, "__pydantic_root_model__", False))


def pydantic_fields(cls: Any) -> Mapping[str, Sequence[str]] | None:
    """Return the fields of a class by attribute, with their names in JSON; None for a root model.

    The first name is the one that is written; all are read.
    """
    if is_root(cls):
        return None
    fields: Mapping[str, Any] = cls.__pydantic_fields__
    config = _config(cls)
    by_name = bool(config.get("populate_by_name") or config.get("validate_by_name"))
    return {name: _names(name, field, by_name) for name, field in fields.items()}


def _names(name: str, field: Any, by_name: bool) -> list[str]:
    choices = getattr(field.validation_alias, "choices", (field.validation_alias,))
    read = [getattr(one, "path", (one,))[0] for one in choices]  # of a path the first field
    known = [field.serialization_alias or field.alias or name, *filter(None, read), *([name] if by_name else [])]
    return list(dict.fromkeys(known))


def _config(cls: Any) -> Mapping[str, Any]:
    return getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}


def pydantic_values(value: Any) -> Any:
    """Return the fields of an instance, shallow; of a root model the value that it holds."""
    if is_root(type(value)):
        return value.root
    held = vars(value)  # has cached properties, too
    fields = {name: held[name] for name in type(value).__pydantic_fields__ if name in held}
    return {**fields, **(getattr(value, "__pydantic_extra__", None) or {})}


def takes_other_fields(cls: Any) -> bool:
    """Return whether a class keeps fields that it does not declare."""
    return bool(_config(cls).get("extra") == "allow")
