"""The check for fields that a value has and its type does not: reading would drop them, so they are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import inspect as types

from sagakit.definition.adapters import accepts_other_fields, adapted_fields, adapter_of_class
from sagakit.definition.annotations import show
from sagakit.definition.raised import told
from sagakit.definition.survival import Changed
from sagakit.naming import nearest


def has_fields(info: object) -> bool:
    """Return whether values of this type have fields, so that a value may have too many."""
    return isinstance(info, types.StructType | types.DataclassType | types.TypedDictType)


def refuse_lost_fields(value: object, back: object, exact: bool = False) -> None:
    """Raise Changed if `value` has a field that `back` does not have, or is of another class.

    `back` is what was read from the JSON of `value`. It may have more fields, by defaults. Equal values, which is
    nearly all of them, are not looked into. With `exact` each part must be equal: code of the type has written it, and
    may have left something out, such as the digits of a card.
    """
    if type(value) is not type(back) or not _are_equal(value, back):
        _look(value, back, "$", exact)


def _are_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of the user's class: then each field is looked at
        return False


def _look(value: object, back: object, path: str, exact: bool = False) -> None:
    names = _names_of(type(back))
    if names is not None:
        _look_at_fields(value, back, names, path, exact)
    elif isinstance(value, dict) and isinstance(back, dict):
        if len(value) > len(back):  # only a TypedDict drops keys; any other dict keeps them all
            _refuse_unknown(value, list(back), "its TypedDict", path)
        for (name, one), read in zip(value.items(), back.values(), strict=True):
            _look(one, read, f"{path}.{name}", exact)
    elif isinstance(back, set | frozenset):
        _look_at_set(value, back, path)
    elif isinstance(value, list | tuple) and isinstance(back, list | tuple):
        for number, (one, read) in enumerate(zip(value, back, strict=False)):
            _look(one, read, f"{path}[{number}]", exact)
    elif exact and not _are_equal(value, back):
        raise Changed(f"{told(value)} would come back as {told(back)}: write it in full", path)


def _look_at_fields(value: object, back: object, names: Mapping[str, str], path: str, exact: bool) -> None:
    if isinstance(value, dict):
        config = getattr(type(back), "__struct_config__", None)
        tag = () if config is None or config.tag_field is None else (config.tag_field,)
        if not accepts_other_fields(type(back)):
            _refuse_unknown(value, [*names.values(), *tag], show(type(back)), path)
        for field, name in names.items():
            if name in value:
                _look(value[name], getattr(back, field, None), f"{path}.{name}")
        return
    own = _names_of(type(value))
    if own is None:
        return
    declared, given = show(type(back)), show(type(value))
    if not isinstance(value, type(back)):
        raise Changed(f"it is a {given}, and would come back as a {declared}: give a {declared}", path)
    more = [field for field in own if field not in names]
    if more:
        raise Changed(
            f"{given} has {', '.join(more)}, which {declared} does not have, and would lose it: give a {declared}, "
            f"or declare {given}",
            path,
        )
    adapter = adapter_of_class(type(back))
    exact = exact if adapter is None else adapter.is_exact
    for field, name in names.items():
        _look(getattr(value, field, None), getattr(back, field, None), f"{path}.{name}", exact)


def _look_at_set(value: object, back: set[Any] | frozenset[Any], path: str) -> None:
    """Compare two sets, whose order differs: each member must match one of those that were read."""
    for one in value if isinstance(value, set | frozenset | list | tuple) else ():
        if _names_of(type(one)) is None and not isinstance(one, dict):
            continue
        faults = [fault for read in back if (fault := _fault_of(one, read, path)) is not None]
        if len(faults) == len(back):
            raise faults[0]


def _fault_of(value: object, back: object, path: str) -> Changed | None:
    try:
        _look(value, back, path)
    except Changed as error:
        return error
    return None


def _refuse_unknown(value: Mapping[Any, Any], known: list[Any], kind: str, path: str) -> None:
    unknown = [name for name in value if name not in known]
    if unknown:
        name = str(unknown[0])
        hint = nearest(name, [str(one) for one in known]) or f": it has {', '.join(map(str, known)) or 'none'}"
        raise Changed(f"{name!r} is not a field of {kind}, and would be lost{hint}", path)


_known: WeakKeyDictionary[type, Mapping[str, str] | None] = WeakKeyDictionary()


def _names_of(kind: type) -> Mapping[str, str] | None:
    """Return the fields of a class by attribute, with their names in JSON; None if it has no fields."""
    if kind not in _known:
        _known[kind] = _find_names(kind)
    return _known[kind]


def _find_names(kind: type) -> Mapping[str, str] | None:
    adapted = adapted_fields(kind)
    if adapted is not None:
        return adapted
    if issubclass(kind, msgspec.Struct):
        return dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    if dataclasses.is_dataclass(kind):
        return {field.name: field.name for field in dataclasses.fields(kind)}
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else {one.name: one.name for one in attributes}
