"""The channels: the kinds of messages that each may bring. NATS permissions are granted by channel, so this matters."""

from __future__ import annotations

from collections.abc import Mapping

from sagakit.errors import InvalidInput
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.names import Channel

ALLOWED: Mapping[Channel, frozenset[str]] = {
    "client": frozenset({"start", "signal", "cancel"}),
    "operator": frozenset({"retry", "mark-undone", "complete-step", "compensate", "terminate", "report"}),
    "system": frozenset({"start", "child-ended", "reverse", "release"}),
    "reply": frozenset({"report", "reply", "heartbeat"}),
}
"""Kinds of requests by channel. A start over `system` is that of a child; an operator may report for a participant."""

_SENT_OVER: dict[str, Channel] = {kind: channel for channel, kinds in ALLOWED.items() for kind in kinds}
_SENT_OVER["start"], _SENT_OVER["report"] = "client", "operator"


def channel_of(request: InboxRequest) -> Channel:
    """Return the channel over which a worker sends a request."""
    return "system" if request.parent is not None else _SENT_OVER[request.kind]


def check_channel(channel: Channel, request: InboxRequest) -> None:
    """Raise InvalidInput for a request that its sender has no right to make."""
    if request.kind not in ALLOWED[channel]:
        raise InvalidInput(
            f"a {request.kind} may not come over the {channel} channel: publish it on the subject of its own channel"
        )
    if (request.parent is not None) != (channel == "system" and request.kind == "start"):
        raise InvalidInput("only the start of a child names a parent, and only workers send that")
