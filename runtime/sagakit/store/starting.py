"""Whether a message of the inbox is a start, seen without reading the rest of it."""

from __future__ import annotations

import msgspec

from sagakit.errors import UNREADABLE


class _Kind(msgspec.Struct):
    kind: str = ""


_kind = msgspec.json.Decoder(_Kind)


def is_start(payload: bytes) -> bool:
    """Return whether a message starts a saga; False for what cannot be read."""
    try:
        return _kind.decode(payload).kind == "start"
    except UNREADABLE:
        return False
