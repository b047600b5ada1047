"""The constraints of annotated_types and of pydantic's `Field`, as msgspec takes them.

pydantic checks them in its own models. In other classes, and in types such as `list[Annotated[int, Gt(0)]]`, msgspec
reads the value; it knows `msgspec.Meta` only, and would silently ignore all others.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, get_args, get_origin

import msgspec

from sagakit.definition.annotations import with_arguments
from sagakit.definition.pydantic_adapter import is_pydantic

_BOUNDS = {
    "gt": "gt",
    "ge": "ge",
    "lt": "lt",
    "le": "le",
    "multiple_of": "multiple_of",
    "min_length": "min_length",
    "max_length": "max_length",
    "pattern": "pattern",
    "title": "title",
    "description": "description",
}
"""Attributes of constraints, with the names that msgspec.Meta has for them."""

_HARMLESS = {"strict", "allow_inf_nan", "examples", "json_schema_extra", "deprecated", "repr", "frozen", "default"}
"""Attributes that need no check here: msgspec is strict, and refuses numbers that are not finite."""

_UNCHECKED = ("annotated_types", "pydantic", "pydantic_core")
"""Packages whose other constraints nobody would check."""


def with_constraints(hint: Any) -> Any:
    """Return a type whose constraints msgspec checks. Those of fields are added to the annotations of their classes.

    Raises TypeError for a constraint that msgspec cannot check, NameError for a type that is not known.
    """
    if "annotated_types" not in sys.modules:
        return hint  # nobody can have used one: pydantic imports it, too
    return _translated(hint, "the type", set())


def _translated(hint: Any, where: str, seen: set[type]) -> Any:
    origin, within = get_origin(hint), get_args(hint)
    if origin is Annotated:
        meta = _meta(hint.__metadata__, where)
        inner = _translated(hint.__origin__, where, seen)
        return Annotated[(inner, *hint.__metadata__, *([] if meta is None else [meta]))]
    if origin is typing.Literal or not within:
        _translate_fields(hint, seen)
        return hint
    _translate_fields(origin, seen)
    return with_arguments(hint, tuple(_translated(one, where, seen) for one in within))


def _translate_fields(cls: Any, seen: set[type]) -> None:
    if not isinstance(cls, type) or cls in seen or is_pydantic(cls) or not _has_fields(cls):
        return
    seen.add(cls)
    hints: Mapping[str, Any] = {}
    with suppress(NameError):  # msgspec names the field
        hints = typing.get_type_hints(cls, include_extras=True)
    for name, hint in hints.items():
        new = _translated(hint, f"{cls.__qualname__}.{name}", seen)
        if new != hint:
            _set_annotation(cls, name, new)


def _has_fields(cls: type) -> bool:
    return any(hasattr(cls, name) for name in ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__")) or (
        issubclass(cls, tuple | dict) and cls not in (tuple, dict) and bool(getattr(cls, "__annotations__", None))
    )


def _set_annotation(cls: type, name: str, hint: Any) -> None:
    """Let msgspec see the constraint. Other readers of the annotation ignore a metadata that they do not know."""
    if issubclass(cls, msgspec.Struct):  # its fields are fixed once the class is made
        raise TypeError(f"{cls.__qualname__}.{name}: a Struct does not check this constraint: use msgspec.Meta(...)")
    owner = next(one for one in cls.__mro__ if name in getattr(one, "__annotations__", {}))
    owner.__annotations__[name] = hint
    for owner in cls.__mro__:
        if "__msgspec_cache__" in vars(owner):  # of a codec that was made before
            delattr(owner, "__msgspec_cache__")


def _meta(metadata: tuple[Any, ...], where: str) -> msgspec.Meta | None:
    """Return the constraints in an annotation as msgspec takes them; None if there are none."""
    bounds: dict[str, Any] = {}
    for one in _single(metadata):
        bounds |= _bounds_of(one, where)
    meta = msgspec.Meta(**bounds)
    return meta if bounds and meta not in metadata else None  # it is there if the class was translated before


def _single(metadata: Any) -> Iterator[Any]:
    """Yield the single constraints: `Interval`, `Len` and pydantic's `Field` are made of several."""
    for one in metadata:
        if hasattr(one, "metadata") and type(one).__module__.startswith("pydantic"):
            yield from _single(one.metadata)
            yield one
        elif hasattr(type(one), "__iter__") and type(one).__module__ == "annotated_types":
            yield from _single(one)
        else:
            yield one


def _bounds_of(one: Any, where: str) -> dict[str, Any]:
    package = type(one).__module__.partition(".")[0]
    if package not in _UNCHECKED:
        return {}
    given = {name: value for name, value in _attributes(one).items() if value is not None}
    if type(one).__name__ == "Timezone":
        if given.get("tz") not in (None, ...):
            raise _unchecked(one, where)
        return {"tz": given.get("tz") is ...}
    return _from_field(given, where) if hasattr(one, "metadata") else _from_constraint(one, given, where)


def _attributes(one: Any) -> dict[str, Any]:
    names = getattr(type(one), "__dataclass_fields__", None) or getattr(one, "__dict__", {})
    if hasattr(one, "metadata"):  # pydantic's Field: of its many attributes only those that were given
        names = getattr(one, "_attributes_set", {})
    return {name: getattr(one, name, None) for name in names}


def _from_field(given: dict[str, Any], where: str) -> dict[str, Any]:
    for name in ("alias", "validation_alias", "serialization_alias", "exclude", "discriminator"):
        if given.get(name):
            raise TypeError(f"{where}: Field({name}=...) works in pydantic models only: make the class a model")
    return {name: given[name] for name in ("title", "description") if name in given}


def _from_constraint(one: Any, given: dict[str, Any], where: str) -> dict[str, Any]:
    if not given or any(name not in _BOUNDS and name not in _HARMLESS for name in given):
        if type(one).__name__ in ("Unit", "DocInfo", "Strict"):
            return {}
        raise _unchecked(one, where)
    return {_BOUNDS[name]: value for name, value in given.items() if name in _BOUNDS}


def _unchecked(one: Any, where: str) -> TypeError:
    return TypeError(
        f"{where}: nothing would check {one!r}: use msgspec.Meta, or check it in a pydantic model or in __post_init__"
    )
