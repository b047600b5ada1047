"""The payload of a message in the inbox. Its format is public: see docs/wire.md."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from sagakit.engine import Inbound, InboundKind, Parent
from sagakit.engine.inputs import Content
from sagakit.engine.record import NOTHING, Time

IdConflict: TypeAlias = Literal["return", "error"]
"""The answer to a start of an id that is known, by another message with an equal input: the saga, or AlreadyStarted."""


class InboxRequest(Content, frozen=True, kw_only=True, omit_defaults=True):
    """A request in the inbox: a start, or the content of any other message (see `Content`).

    `input` and all fields below it are for `start` alone. `signal` names a signal that comes with the start; its
    payload is `payload`. A saga starts `at` a time, in seconds since the epoch or as text of RFC 3339, or so many
    seconds `after` the server has stored the message.
    """

    kind: Literal["start"] | InboundKind
    input: msgspec.Raw = NOTHING
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    attributes: dict[str, str] = {}
    parent: Parent | None = None
    id_conflict: IdConflict = "return"
    at: Time | Annotated[datetime, Meta(tz=True)] | None = None
    signal: str = ""

    @classmethod
    def of(cls, message: Inbound) -> InboxRequest:
        """Return the request that carries this message through the inbox."""
        return cls(kind=message.kind, **_content(message))

    def as_inbound(self, id: str) -> Inbound:
        """Return the message to the saga, with this id. Not for a `start`."""
        assert self.kind != "start"
        return Inbound(id=id, kind=self.kind, **_content(self))


def _content(message: Content) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Content.__struct_fields__}
