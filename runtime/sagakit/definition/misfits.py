"""The value that does not fit, found within a larger one, so that an error can name its Python type.

msgspec compares JSON: it says that it got a text where a Decimal was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_GOT = re.compile(r"got `(\w+)`")
_PART = re.compile(r"\.(\w+)|\[(\d+)\]")
_PLAIN = (str, int, float, bool, bytes, type(None), Mapping, list, tuple)


def with_given_type(reason: str, value: object, path: str | None) -> str:
    """Return the reason of a refusal with the type that was given, where JSON has another one in its place."""
    found = value if path is None else _at(value, path)
    if found is None or isinstance(found, _PLAIN):
        return reason
    given = type(found).__name__
    return _GOT.sub(lambda got: f"got `{given}`, which is kept as `{got[1]}`", reason)


def _at(value: object, path: str) -> object | None:
    """Return the part of a value that a path such as `$.lines[2].price` leads to; None if that cannot be said."""
    if "..." in path:  # msgspec does not say which one of a dict or a set
        return None
    for name, number in _PART.findall(path):
        if number:
            value = value[int(number)] if isinstance(value, Sequence) and int(number) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value
