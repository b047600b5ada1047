"""The messages that wait: in the inbox, and in the outboxes of sagas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sagakit.jetstream.puller import refusal
from sagakit.jetstream.wire_reading import WireStream
from sagakit.repository.leases import LeaseAt
from sagakit.times import moment_of

if TYPE_CHECKING:
    from sagakit.client.client import Client


class WaitingMessages(NamedTuple):
    """The number of messages in the inbox. `since` is when the first one came, None if there is none."""

    messages: int
    since: datetime | None


async def inbox_of(client: Client) -> WaitingMessages:
    """Return the messages that wait in the inbox. Raises StoreError."""
    found = await WireStream(client.wire, client.names.inbox, "", refusal).extent()
    return WaitingMessages(found.messages, moment_of(found.began or None))


def outbox_of(leases: Sequence[LeaseAt]) -> float | None:
    """Return for how many seconds the oldest event that is not in the log yet has waited; None if no worker says."""
    return max((one.says.backlog for one in leases if one.says.backlog is not None), default=None)
