"""Telling starts from other messages of the inbox, without reading the rest of the message."""

from __future__ import annotations

import msgspec

from sagakit.errors import UNREADABLE


class _Kind(msgspec.Struct):
    kind: str = ""


_kind = msgspec.json.Decoder(_Kind)


def is_start(payload: bytes) -> bool:
    """Return True if a message starts a saga; False for all others, and for bytes that cannot be read."""
    try:
        return _kind.decode(payload).kind == "start"
    except UNREADABLE:
        return False
