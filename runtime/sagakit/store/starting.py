"""Telling starts and heartbeats from other messages of the inbox, without reading the rest of the message."""

from __future__ import annotations

import msgspec

from sagakit.errors import UNREADABLE


class _Kind(msgspec.Struct):
    kind: str = ""


_kind = msgspec.json.Decoder(_Kind)


def is_start(payload: bytes) -> bool:
    """Return True if a message starts a saga; False for all others, and for bytes that cannot be read."""
    return _kind_of(payload) == "start"


def is_heartbeat(payload: bytes) -> bool:
    """Return True if a message is a heartbeat; False for all others, and for bytes that cannot be read."""
    return _kind_of(payload) == "heartbeat"


def _kind_of(payload: bytes) -> str:
    try:
        return _kind.decode(payload).kind
    except UNREADABLE:
        return ""
