"""The archive, as the audit reads it: how each order has ended, and what became of it when its worker died."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import nats
import nats.errors
import sagakit.asyncio
from nats.aio.client import Client as Nats
from sagakit.client.client import Client
from sagakit.engine.events import CloudEvent

from examples.services.saga import PlaceOrder

AGAIN = 0.2
"""Seconds until the server is asked again."""


@dataclass(frozen=True)
class Ended:
    """The end of an order."""

    completed: bool
    taken_over: int = 0
    """Workers that have taken it over from another one."""
    in_doubt: int = 0
    """Attempts of which nobody knew whether they had happened, because their worker had died."""
    asked_again: int = 0
    """Commands that were sent again, because no reply came in time."""


async def until_all_is_answered(url: str) -> None:
    """Return once no command is left: those that killed services had in hand come again, after 30 seconds."""
    async with await nats.connect(url, max_reconnect_attempts=-1, error_cb=_outage) as connection:
        while await _commands(connection) != 0:  # noqa: ASYNC110  # other processes answer them
            await asyncio.sleep(AGAIN)


async def _outage(error: Exception) -> None:
    """Be silent about an outage: the server may have been killed a moment ago."""


async def _commands(connection: Nats) -> int | None:
    """Return how many commands are not answered; None while the server does not say."""
    try:
        state = (await connection.jetstream().stream_info("SAGA_COMMANDS")).state
    except nats.errors.Error:
        return None
    return int(state.messages)


async def read_archive(url: str) -> dict[str, Ended]:
    """Return the ends of all orders that have ended."""
    async with sagakit.asyncio.open_client(url) as client:
        completed = await client.list(type=PlaceOrder, status="completed")
        failed = await client.list(type=PlaceOrder, status="failed")
        return {one.id: await _ended(client, one.id) for one in (*completed.items, *failed.items)}


async def _ended(client: Client, id: str) -> Ended:
    record = await client.load(PlaceOrder, id)
    steps = record.steps.values()
    return Ended(
        completed=record.status == "completed",
        taken_over=record.epoch - 1,
        in_doubt=0 if record.epoch == 1 else in_doubt((await client.history(PlaceOrder, id)).events),
        asked_again=sum(max(0, step.attempt - 1) + max(0, step.undo_attempt - 1) for step in steps),
    )


def in_doubt(events: Sequence[CloudEvent]) -> int:
    """Return how many attempts of a saga were open when an owner of it died: the event `.recovered` names them."""
    taken = [event.data for event in events if event.type.endswith(".recovered")]
    return sum(len(cast("list[str]", data["open"])) for data in taken)
