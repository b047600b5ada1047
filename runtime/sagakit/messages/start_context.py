"""The origin of a saga, the attributes that it can be found by, and the terms of its start."""

from __future__ import annotations

import msgspec

from sagakit.engine import Inbound, Parent
from sagakit.messages.inbox_request import IdConflict


class StartContext(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a saga, and the attributes that it can be found by. Kept in its record."""

    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    attributes: dict[str, str] = {}
    parent: Parent | None = None


NOWHERE = StartContext()


class StartTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of a start that is more than a plain one.

    `message_id` is the id of the message that asks for it: a saga that it has started is never in its way. `starts_at`
    is in seconds since the epoch. `signal` is applied together with the start.
    """

    message_id: str = ""
    id_conflict: IdConflict = "return"
    starts_at: float | None = None
    signal: Inbound | None = None


PLAIN = StartTerms()
