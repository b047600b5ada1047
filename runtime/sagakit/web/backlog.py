"""The messages that wait: in the inbox, in the outboxes of sagas, and as dead letters."""

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


class Backlog(NamedTuple):
    """Numbers of messages that wait. `inbox_since` is when the first one in the inbox came, None if there is none.

    `outbox` is for how many seconds the oldest event that is not in the log yet has waited; None if no worker says.
    """

    inbox: int
    inbox_since: datetime | None
    outbox: float | None
    letters: int


async def backlog_of(client: Client, leases: Sequence[LeaseAt]) -> Backlog:
    """Return what waits. The outbox is as the leases of the workers tell it. Raises StoreError."""
    inbox = await WireStream(client.wire, client.names.inbox, "", refusal).extent()
    waits = [one.says.backlog for one in leases if one.says.backlog is not None]
    return Backlog(
        inbox.messages, moment_of(inbox.began or None), max(waits, default=None), await client.dead_letters.count()
    )
