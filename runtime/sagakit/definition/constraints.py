"""The constraints of annotated_types and of pydantic's `Field`, as msgspec takes them.

pydantic checks them in its own models. In other classes, and in types such as `list[Annotated[int, Gt(0)]]`, msgspec
reads the value; it knows `msgspec.Meta` only, and would silently ignore all others.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import EllipsisType, NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec.inspect import type_info

from sagakit.definition.annotations import show, with_arguments
from sagakit.definition.pydantic_adapter import is_pydantic

_STRICTER: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("gt", "ge", "min_length"), max),
    **dict.fromkeys(("lt", "le", "max_length"), min),
}
"""Bounds of which several hold together, with the function that tells which of two is stricter."""

_BOUNDS = {*_STRICTER, "multiple_of", "pattern", "tz"}
"""Attributes of constraints, and of msgspec.Meta, that restrict values."""

_TEXTS = {"title", "description", "examples", "extra_json_schema", "extra"}
"""Attributes of msgspec.Meta that restrict nothing."""

_KNOWN = _BOUNDS | {"title", "description"}
"""Attributes of other constraints that msgspec.Meta has under the same names."""

_Constraints: TypeAlias = Sequence[tuple[Any, Mapping[str, Any]]]
"""Constraints, each with what it says to msgspec."""

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


def _translated(hint: Any, where: str, seen: set[Any]) -> Any:
    origin, within = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _with_metadata(_translated(hint.__origin__, where, seen), hint.__metadata__, where)
    if _is_named(hint):
        return _translated_name(hint, where, seen)
    if origin is typing.Literal or not within:
        _translate_fields(hint, seen)
        return hint
    _translate_fields(origin, seen)
    return with_arguments(hint, tuple(_translated(one, where, seen) for one in within))


def _is_named(hint: Any) -> bool:
    return hasattr(hint, "__supertype__") or type(hint).__name__ == "TypeAliasType"


def _translated_name(hint: Any, where: str, seen: set[Any]) -> Any:
    """Return the translation of a NewType or an alias; itself if there is nothing to translate."""
    if hint in seen:  # an alias may contain itself
        return hint
    meant = hint.__supertype__ if hasattr(hint, "__supertype__") else hint.__value__
    new = _translated(meant, where, seen | {hint})
    return hint if new == meant else new


def _translate_fields(cls: Any, seen: set[Any]) -> None:
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


# ------------------------------------------------------- of one annotation


def _with_metadata(inner: Any, metadata: tuple[Any, ...], where: str) -> Any:
    """Return an annotated type with one msgspec.Meta for all its constraints."""
    if get_origin(inner) is Annotated:
        inner, metadata = inner.__origin__, (*inner.__metadata__, *metadata)
    found = _found_in(metadata, where)
    if all(isinstance(one, msgspec.Meta) for one, _ in found):  # msgspec takes it as it is
        return Annotated[(inner, *metadata)]
    return _beside(_constrained(inner, found, where), metadata)


def _constrained(inner: Any, found: _Constraints, where: str) -> Any:
    if get_origin(inner) is Annotated:
        found = [*_found_in(inner.__metadata__, where), *found]
        return _beside(_constrained(inner.__origin__, found, where), inner.__metadata__)
    if get_origin(inner) in (Union, UnionType):
        return _constrained_members(inner, found, where)
    given = _strictest(inner, found, where)
    return Annotated[inner, msgspec.Meta(**given)] if given else inner


def _constrained_members(union: Any, found: _Constraints, where: str) -> Any:
    """Return a union whose members other than None have the bounds. msgspec takes texts only for the whole of it."""
    bounds = [(one, {name: value for name, value in given.items() if name in _BOUNDS}) for one, given in found]
    texts = {name: value for _, given in found for name, value in given.items() if name in _TEXTS}
    members = (one if one is NoneType else _constrained(one, bounds, where) for one in get_args(union))
    union = with_arguments(union, tuple(members))
    return Annotated[union, msgspec.Meta(**texts)] if texts else union


def _beside(hint: Any, metadata: tuple[Any, ...]) -> Any:
    """Return a type with its metadata for other readers than msgspec, such as pydantic."""
    others = _others(metadata)
    return Annotated[(hint, *others)] if others else hint


def _others(metadata: tuple[Any, ...]) -> list[Any]:
    return [one for one in metadata if not isinstance(one, msgspec.Meta)]


def _strictest(hint: Any, found: _Constraints, where: str) -> dict[str, Any]:
    """Return the constraints that hold if all of them hold. Raises TypeError if msgspec cannot say it."""
    kept: dict[str, Any] = {}
    for one, given in found:
        for name, value in given.items():
            if not _is_checked(hint, one, name, value):
                raise _unchecked(one, where, hint)
            if name in _STRICTER:
                value = _STRICTER[name](kept.get(name, value), value)
            elif name in _BOUNDS and kept.get(name, value) != value:
                both = f"{name}={kept[name]!r} and {name}={value!r}"
                raise TypeError(f"{where}: two constraints differ, {both}: leave one of them out")
            kept[name] = value
    for sharp, equal in (("gt", "ge"), ("lt", "le")):  # msgspec takes one of the two
        if sharp in kept and equal in kept:
            stricter = _STRICTER[sharp](kept[sharp], kept[equal])
            del kept[equal if kept[sharp] == stricter else sharp]
    return kept


def _is_checked(hint: Any, one: Any, name: str, value: Any) -> bool:
    """Return whether msgspec checks a bound of a type. Texts restrict nothing."""
    if name not in _BOUNDS or isinstance(one, msgspec.Meta) or isinstance(hint, typing.TypeVar):
        return True  # msgspec looks at its own Meta itself
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and (is_pydantic(kind) or _has_fields(kind)):
        return False
    try:  # without the classes within, of which msgspec would keep the fields as they are now
        type_info(Annotated[_without_items(hint), msgspec.Meta(**{name: value})])
    except Exception:  # of msgspec or of a hook of the type: either way it will not keep the rule
        return False
    return True


def _without_items(hint: Any) -> Any:
    if get_origin(hint) is typing.Literal:
        return hint
    return with_arguments(hint, tuple(one if one is ... else Any for one in get_args(hint)))


def _found_in(metadata: tuple[Any, ...], where: str) -> _Constraints:
    return [(one, given) for one in _single(metadata) if (given := _given_by(one, where))]


def _given_by(one: Any, where: str) -> Mapping[str, Any]:
    return _bounds_of_meta(one) if isinstance(one, msgspec.Meta) else _bounds_of(one, where)


def _bounds_of_meta(meta: msgspec.Meta) -> dict[str, Any]:
    given = {name: getattr(meta, name) for name in (*sorted(_BOUNDS), *sorted(_TEXTS))}
    return {name: value for name, value in given.items() if value is not None}


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
    if not given or any(name not in _KNOWN and name not in _HARMLESS for name in given):
        if type(one).__name__ in ("Unit", "DocInfo", "Strict"):
            return {}
        raise _unchecked(one, where)
    return {name: value for name, value in given.items() if name in _KNOWN}


def _unchecked(one: Any, where: str, hint: Any = None) -> TypeError:
    how = "check it in a pydantic model or in __post_init__"
    if hint is None:
        return TypeError(f"{where}: nothing would check {one!r}: use msgspec.Meta, or {how}")
    return TypeError(f"{where}: nothing would check {one!r} of {show(hint)}: {how}")


# ------------------------------------------------------------ for pydantic


def fault_of_metas(hint: Any) -> str | None:
    """Return why pydantic must not read a type: it has a bound in msgspec.Meta, which pydantic ignores. Or None."""
    where = next(_ignored_in(hint, (), "the type", set()), None)
    return None if where is None else f"{where}: pydantic ignores msgspec.Meta: use Field(...)"


def _ignored_in(hint: Any, metadata: tuple[Any, ...], where: str, seen: set[Any]) -> Iterator[str]:
    """Yield the places of such bounds within a type that has this metadata."""
    while get_origin(hint) is Annotated or hasattr(hint, "__supertype__"):
        metadata = (*getattr(hint, "__metadata__", ()), *metadata)
        hint = hint.__origin__ if get_origin(hint) is Annotated else hint.__supertype__
    if _has_ignored(metadata):
        yield where
    is_union = get_origin(hint) in (Union, UnionType)
    for one in get_args(hint) if get_origin(hint) is not typing.Literal else ():
        yield from _ignored_in(one, tuple(_others(metadata)) if is_union else (), where, seen)
    cls = get_origin(hint) or hint
    if isinstance(cls, type) and cls not in seen and (is_pydantic(cls) or _has_fields(cls)):
        seen.add(cls)
        for name, field, more in _fields_of(cls):
            yield from _ignored_in(field, more, f"{cls.__qualname__}.{name}", seen)


def _fields_of(cls: Any) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Yield the fields of a class with their types and the metadata beside them."""
    if is_pydantic(cls):
        for name, field in cls.__pydantic_fields__.items():
            yield name, field.annotation, tuple(field.metadata)
    else:
        with suppress(NameError):  # pydantic names the field
            for name, hint in typing.get_type_hints(cls, include_extras=True).items():
                yield name, hint, ()


def _has_ignored(metadata: tuple[Any, ...]) -> bool:
    """Return whether a bound is in msgspec.Meta alone. It may have been put there beside another constraint."""
    said = [pair for one in _single(_others(metadata)) for pair in _attributes(one).items()]
    said = [(name, True if isinstance(value, EllipsisType) else value) for name, value in said]
    given = [pair for one in metadata if isinstance(one, msgspec.Meta) for pair in _bounds_of_meta(one).items()]
    return any(name in _BOUNDS and (name, value) not in said for name, value in given)
