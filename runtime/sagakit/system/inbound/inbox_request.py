"""What stands in a message of the inbox: public, see docs/wire.md."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sagakit.engine import Inbound, InboundKind, Parent
from sagakit.engine.inputs import Content
from sagakit.engine.record import NOTHING


class InboxRequest(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What a message of the inbox says: a start, or what any other message says, see `Content`.

    `input`, `attributes` and where it comes from are for `start`.
    """

    kind: Literal["start"] | InboundKind
    input: msgspec.Raw = NOTHING
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    attributes: dict[str, str] = {}
    parent: Parent | None = None

    @classmethod
    def of(cls, message: Inbound) -> InboxRequest:
        """Return the message, as it goes through the inbox."""
        return cls(kind=message.kind, **_content(message))

    def as_inbound(self, id: str) -> Inbound:
        """Return what it says to a saga; not for `start`."""
        assert self.kind != "start"
        return Inbound(id=id, kind=self.kind, **_content(self))


def _content(message: Content) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Content.__struct_fields__}
