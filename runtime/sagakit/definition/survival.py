"""The checks that a value comes back from JSON unchanged: by its type, and by the value itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect as types

from sagakit.definition.adapters import opened
from sagakit.definition.raised import shorten

_KEYS = (
    types.AnyType, types.StrType, types.IntType, types.FloatType, types.DecimalType, types.BytesType, types.UUIDType,
    types.EnumType, types.LiteralType, types.DateType, types.DateTimeType, types.TimeType, types.TimeDeltaType,
)  # fmt: skip
"""Types that the keys of a dict may have."""

_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length")

_NOT_UTC = re.compile(rb':[0-5]\d(?:\.\d{1,6})?(?:"|[+-]\d\d:\d\d")')
"""A time in JSON that does not end in Z."""

# ------------------------------------------------------------- of a type


def fault_of_hint(hint: Any) -> str | None:
    """Return why msgspec must not see this type; None if it may.

    msgspec 0.22 ends the process when it frees the decoder of such a type.
    """
    within = get_args(hint)
    if get_origin(hint) in (Union, UnionType) and any(map(_is_fixed_tuple, within)) and any(map(_is_bound, within)):
        return "a tuple of fixed length and a type with a bound are in one union, which ends the process: use a class"
    return next((fault for one in within if (fault := fault_of_hint(one)) is not None), None)


def _is_fixed_tuple(hint: Any) -> bool:
    return get_origin(hint) is tuple and Ellipsis not in get_args(hint)


def _is_bound(hint: Any) -> bool:
    metas = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, msgspec.Meta)]
    return any(getattr(meta, name) is not None for meta in metas for name in _BOUNDS)


def fault_of_keys(info: object) -> str | None:
    """Return the fault of a dict's key type, since keys are texts in JSON; None if it has none."""
    if not isinstance(info, types.DictType):
        return None
    kinds = info.key_type.types if isinstance(info.key_type, types.UnionType) else (info.key_type,)
    for kind in kinds:
        never = [one for one in kind.values if one is None] if isinstance(kind, types.LiteralType) else []
        if not isinstance(kind, _KEYS) or never:
            name = type(kind).__name__.removesuffix("Type").lower()
            return f"a dict in JSON cannot have a key that is {name}: use texts or numbers, or a list of pairs"
    if any(map(_has_numbers, kinds)) and any(map(_may_look_like_a_number, kinds)):
        return "a dict in JSON has texts as keys, so that 1 and '1' would be the same: use keys of one kind"
    return None


def _values(kind: object) -> list[object]:
    if isinstance(kind, types.EnumType):
        return [one.value for one in kind.cls]
    return list(kind.values) if isinstance(kind, types.LiteralType) else []


def _has_numbers(kind: object) -> bool:
    return isinstance(kind, types.IntType | types.FloatType) or any(isinstance(one, int) for one in _values(kind))


def _may_look_like_a_number(kind: object) -> bool:
    texts = [one for one in _values(kind) if isinstance(one, str)]
    return isinstance(kind, types.StrType | types.BytesType) or any(map(_is_number, texts))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def may_change(info: object) -> bool:
    """Return whether values of a type may come back changed and are compared: it runs code, or is Any."""
    if isinstance(info, types.StructType | types.DataclassType):
        hooks = ("__post_init__", "__attrs_post_init__", "__attrs_pre_init__")
        return any(hasattr(info.cls, name) for name in hooks)
    return isinstance(info, types.AnyType)


def may_hold_times(info: object) -> bool:
    """Return whether values of a type may be times with a zone."""
    return isinstance(info, types.TimeType | types.DateTimeType | types.AnyType)


# ------------------------------------------------------------ of a value


class Changed(msgspec.ValidationError):
    """A value of the right type would come back changed."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(f"{text} - at `{path}`")


def refuse_lost_zones(value: object, written: bytes) -> None:
    """Raise Changed for a time whose zone JSON cannot hold. `written` is the value as JSON."""
    if _NOT_UTC.search(written) is None:
        return  # nearly always, and much cheaper than a look at the value
    plain = msgspec.to_builtins(value, builtin_types=(datetime, time), enc_hook=opened)
    for path, one in _times_within(plain, "$"):
        if one.tzinfo is None:
            continue
        offset = one.utcoffset()
        if offset is None:
            raise Changed(f"{one!r}: its zone has no offset without a date, and would be lost: keep its name", path)
        if offset % timedelta(minutes=1):
            raise Changed(f"{one!r}: its offset {offset} is not of whole minutes: say it in UTC", path)


def _times_within(value: object, path: str) -> Iterator[tuple[str, datetime | time]]:
    if isinstance(value, datetime | time):
        yield path, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _times_within(name, path)
            yield from _times_within(one, f"{path}.{name}")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, one in enumerate(value):
            yield from _times_within(one, f"{path}[{number}]")


class _Object(list[tuple[str, Any]]):
    """A JSON object as it is written: a name may occur twice."""


def refuse_what_changes(written: bytes, again: bytes) -> None:
    """Raise Changed if `again` is another value. It is the JSON of what was read from the JSON `written`.

    Fields that only one of them has do not count: a subclass has more of them, and a default is filled in.
    """
    one, other = (json.loads(data, object_pairs_hook=_Object) for data in (written, again))
    _compare(one, other, "$")


def _compare(one: Any, other: Any, path: str) -> None:
    if isinstance(one, _Object) and isinstance(other, _Object):
        _compare_objects(one, other, path)
    elif type(one) is type(other) is list and len(one) == len(other):
        if sorted(map(json.dumps, one)) != sorted(map(json.dumps, other)):  # a set has no order
            for number, (item, that) in enumerate(zip(one, other, strict=True)):
                _compare(item, that, f"{path}[{number}]")
    elif one != other or isinstance(one, bool) is not isinstance(other, bool):
        raise Changed(
            f"{_told(one)} would come back as {_told(other)}: code of the type, such as __post_init__, must leave what "
            "it has made as it is",
            path,
        )


def _compare_objects(one: _Object, other: _Object, path: str) -> None:
    times = Counter(name for name, _ in one)
    twice = next((name for name in times if times[name] > 1), None)
    if twice is not None:
        raise Changed(f"two keys of a dict are {twice!r} in JSON: use keys of one kind", path)
    kept = dict(other)
    for name, value in one:
        if name in kept:
            _compare(value, kept[name], f"{path}.{name}")


def _told(value: object) -> str:
    return shorten(json.dumps(dict(value) if isinstance(value, _Object) else value), 60)
