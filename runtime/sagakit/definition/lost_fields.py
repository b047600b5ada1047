"""The check for fields that a value has and its type does not: reading would drop them, so they are refused."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import inspect as types

from sagakit.definition.adapters import (
    Adapter,
    accepts_other_fields,
    adapted_fields,
    adapter_of_class,
    held_value,
    holds_value,
)
from sagakit.definition.annotations import show
from sagakit.definition.raised import told
from sagakit.definition.survival import Changed
from sagakit.naming import nearest

_LISTS = (list, tuple, deque)
_NUMBERS = (float, Decimal)


class _Compared(Enum):
    """The values that are compared, apart from their fields."""

    NONE = 0
    """msgspec has written them, which leaves nothing out."""

    SAME_KIND = 1
    """Code of the type may have written them, and the type has an Any: only that may change the kind of a value."""

    ALL = 2
    """Code of the type may have written them, and may have left something out, such as the digits of a card."""


def _compared(adapter: Adapter | None) -> _Compared:
    if adapter is None:
        return _Compared.NONE
    return _Compared.ALL if adapter.is_exact else _Compared.SAME_KIND


def has_fields(info: object) -> bool:
    """Return whether values of this type have fields, so that a value may have too many."""
    return isinstance(info, types.StructType | types.DataclassType | types.TypedDictType)


def refuse_lost_fields(value: object, back: object, adapter: Adapter | None = None) -> None:
    """Raise Changed if `value` has a field that `back` does not have, or is of another class.

    `back` is what was read from the JSON of `value`. It may have more fields, by defaults. Equal values, which is
    nearly all of them, are not looked into. Each part of what an adapter has written must be equal, too.
    """
    if type(value) is not type(back) or not _are_equal(value, back):
        _look(value, back, "$", _compared(adapter))


def _are_equal(one: Any, other: Any) -> bool:
    try:
        if one == other:
            return True
        # NaN, which a model may write as a text
        return isinstance(one, _NUMBERS) and isinstance(other, _NUMBERS) and bool(one != one) and bool(other != other)
    except Exception:  # of the user's class: then each field is looked at
        return False


def _look(value: Any, back: Any, path: str, compared: _Compared) -> None:
    names = _names_of(type(back))
    if names is not None:
        _look_at_fields(value, back, names, path, compared)
    elif holds_value(type(back)):
        if isinstance(value, type(back)):
            _look(held_value(value), held_value(back), path, _compared(adapter_of_class(type(back))))
        else:  # as it is in JSON
            _look(value, held_value(back), path, _Compared.NONE)
    elif isinstance(value, dict) and isinstance(back, dict):
        _look_at_dict(value, back, path, compared)
    elif isinstance(back, set | frozenset):
        _look_at_set(value, back, path, compared)
    elif isinstance(value, _LISTS) and isinstance(back, _LISTS):
        if compared is not _Compared.NONE and len(value) != len(back):
            raise Changed(f"its length {len(value)} would come back as {len(back)}: write it in full", path)
        for number, (one, read) in enumerate(zip(value, back, strict=False)):
            _look(one, read, f"{path}[{number}]", compared)
    elif _must_be_equal(value, back, compared) and not _are_equal(value, back):
        more = ", or give the class `__eq__`" if getattr(type(value), "__eq__", None) is object.__eq__ else ""
        raise Changed(f"{told(value)} would come back as {told(back)}: write it in full{more}", path)


def _must_be_equal(value: object, back: object, compared: _Compared) -> bool:
    return compared is _Compared.ALL or (compared is _Compared.SAME_KIND and type(value) is type(back))


def _look_at_fields(
    value: object, back: object, names: Mapping[str, Sequence[str]], path: str, compared: _Compared
) -> None:
    if isinstance(value, dict):
        _look_at_plain(value, back, names, path)
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
    compared = compared if adapter is None else _compared(adapter)
    for field, (name, *_) in names.items():
        _look(getattr(value, field, None), getattr(back, field, None), f"{path}.{name}", compared)


def _look_at_plain(value: Mapping[Any, Any], back: object, names: Mapping[str, Sequence[str]], path: str) -> None:
    """Compare a dict that was given in the place of a class."""
    config = getattr(type(back), "__struct_config__", None)
    tag = () if config is None or config.tag_field is None else (config.tag_field,)
    if not accepts_other_fields(type(back)):
        _refuse_unknown(value, [*(name for one in names.values() for name in one), *tag], show(type(back)), path)
    for field, known in names.items():
        for name in known:
            if name in value:
                _look(value[name], getattr(back, field, None), f"{path}.{name}", _Compared.NONE)


def _look_at_dict(value: dict[Any, Any], back: dict[Any, Any], path: str, compared: _Compared) -> None:
    if len(value) > len(back):
        if compared is _Compared.NONE:  # only a TypedDict drops keys; any other dict keeps them all
            _refuse_unknown(value, list(back), "its TypedDict", path)
        lost = next(name for name in value if name not in back)
        hint = nearest(str(lost), list(map(str, back))) or ""
        raise Changed(
            f"{lost!r} would be lost: a serializer leaves it out, or its TypedDict has no such key{hint}", path
        )
    for (name, one), other in zip(value.items(), back, strict=False):
        key = name if name in back else other
        if compared is not _Compared.NONE:
            _look(name, key, path, compared)
        _look(one, back[key], f"{path}.{name}", compared)


def _look_at_set(value: object, back: set[Any] | frozenset[Any], path: str, compared: _Compared) -> None:
    """Compare two sets, whose order differs: each member must match one of those that were read."""
    for one in value if isinstance(value, set | frozenset | list | tuple) else ():
        is_plain = _names_of(type(one)) is None and not isinstance(one, dict)
        if is_plain and (compared is _Compared.NONE or _is_in(one, back)):
            continue
        faults = [fault for read in back if (fault := _fault_of(one, read, path, compared)) is not None]
        if len(faults) == len(back):
            raise Changed(f"{told(one)} would be lost: write it in full", path) if is_plain or not back else faults[0]


def _is_in(one: object, back: set[Any] | frozenset[Any]) -> bool:
    try:
        return one in back
    except Exception:  # it has no hash, or its class fails
        return False


def _fault_of(value: object, back: object, path: str, compared: _Compared) -> Changed | None:
    try:
        _look(value, back, path, compared)
    except Changed as error:
        return error
    return None


def _refuse_unknown(value: Mapping[Any, Any], known: list[Any], kind: str, path: str) -> None:
    unknown = [name for name in value if name not in known]
    if unknown:
        name = str(unknown[0])
        hint = nearest(name, [str(one) for one in known]) or f": it has {', '.join(map(str, known)) or 'none'}"
        raise Changed(f"{name!r} is not a field of {kind}, and would be lost{hint}", path)


_known: WeakKeyDictionary[type, Mapping[str, Sequence[str]] | None] = WeakKeyDictionary()


def _names_of(kind: type) -> Mapping[str, Sequence[str]] | None:
    """Return the fields of a class by attribute, with their names in JSON, the written one first; None without."""
    if kind not in _known:
        _known[kind] = _find_names(kind)
    return _known[kind]


def _find_names(kind: type) -> Mapping[str, Sequence[str]] | None:
    adapted = adapted_fields(kind)
    if adapted is not None:
        return adapted
    if issubclass(kind, msgspec.Struct):
        return {
            name: (other,) for name, other in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        }
    if dataclasses.is_dataclass(kind):
        return {field.name: (field.name,) for field in dataclasses.fields(kind)}
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else {one.name: (one.name,) for one in attributes}
