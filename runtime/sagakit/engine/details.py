"""Cutting the detail of a refusal to the room that the record has for it."""

from __future__ import annotations

import msgspec

from sagakit.definition.payloads import is_sealed
from sagakit.definition.raised import shorten
from sagakit.engine.record import NOTHING
from sagakit.errors import UNREADABLE

NOT_KEPT = "not_kept"
"""The field that names the dropped fields."""

_NAME = 40
"""Characters that are kept of the name of a dropped field."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_names = msgspec.json.Decoder(list[str])


def fitting_detail(detail: msgspec.Raw, most: int) -> msgspec.Raw:
    """Return the detail if it has at most `most` bytes, else those of its fields that fit, in their order.

    The field `not_kept` names the others, as far as there is room. The result is NOTHING if not even that fits, and for
    a detail that is sealed or not an object.
    """
    if len(memoryview(detail)) <= most:
        return detail
    if is_sealed(detail):
        return NOTHING  # a part of it could not be opened
    try:
        fields = _fields.decode(detail)
    except UNREADABLE:
        return NOTHING
    before = _dropped_before(fields)
    # Room is set aside for all names, though some fields will fit and not be named; never more than a third, so that
    # many long names do not push out the values.
    room = most - min(len(_encoded({NOT_KEPT: _named([*before, *fields], most)})), most // 3)
    kept: dict[str, msgspec.Raw] = {}
    for name, value in fields.items():
        size = len(_encoded({name: value}))
        if size <= room:
            kept[name], room = value, room - size
    dropped = [*before, *(name for name in fields if name not in kept)]
    data = _encoded({**kept, NOT_KEPT: _named(dropped, most - len(_encoded(kept)))})
    return msgspec.Raw(data) if len(data) <= most else NOTHING


def _dropped_before(fields: dict[str, msgspec.Raw]) -> list[str]:
    """Return the names that an earlier cut, to a wider bound, has dropped already; take them out of `fields`."""
    try:
        return _names.decode(fields.pop(NOT_KEPT, b"[]"))
    except UNREADABLE:
        return [NOT_KEPT]


def _named(names: list[str], room: int) -> list[str]:
    """Return as many of the names as fit, and the number of the others in words."""
    found: list[str] = []
    left = room - len('{"not_kept":["and 1000000 more"]}')
    for name in names:
        short = shorten(name, _NAME)
        left -= len(_encoded(short)) + 1
        if left < 0:
            return [*found, f"and {len(names) - len(found)} more" if found else f"fields: {len(names)}"]
        found.append(short)
    return found


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)
