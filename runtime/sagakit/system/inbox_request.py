"""What stands in a message of the inbox: public, see docs/wire.md."""

from __future__ import annotations

from typing import Literal

import msgspec

from sagakit.engine import Inbound, InboundKind, Parent
from sagakit.engine.record import NOTHING


class InboxRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message of the inbox says.

    `input`, `attributes` and where it comes from are for `start`. `step` names the node that a signal (also `signal`),
    a report or an operator's verb is for, `payload` is its JSON. `by` and `reason` are for the audit.
    """

    kind: Literal["start"] | InboundKind
    input: msgspec.Raw = NOTHING
    step: str = ""
    payload: msgspec.Raw = NOTHING
    code: str | None = None
    reason: str = ""
    by: str = ""
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    attributes: dict[str, str] = {}
    parent: Parent | None = None

    @classmethod
    def of(cls, message: Inbound) -> InboxRequest:
        """The message, as it goes through the inbox."""
        return cls(
            kind=message.kind,
            step=message.step,
            payload=message.payload,
            code=message.code,
            reason=message.reason,
            by=message.by,
        )

    def as_inbound(self, id: str) -> Inbound:
        """What it says to a saga; not for `start`."""
        assert self.kind != "start"
        return Inbound(
            id=id,
            kind=self.kind,
            step=self.step,
            payload=self.payload,
            code=self.code,
            reason=self.reason,
            by=self.by,
        )
