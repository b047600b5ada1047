"""The origin of a saga, and the attributes that it can be found by."""

from __future__ import annotations

import msgspec

from sagakit.engine import Parent


class StartContext(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a saga, and the attributes that it can be found by. Kept in its record."""

    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    attributes: dict[str, str] = {}
    parent: Parent | None = None


NOWHERE = StartContext()
