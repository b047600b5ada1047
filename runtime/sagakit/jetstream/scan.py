"""Reading much of a stream at once, by a consumer that is removed again. Runs on the asyncio side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

PAGE = 500
"""Messages fetched at once."""


async def last_of_each(client: Client, stream: str, subject: str) -> list[Msg]:
    """The last message of each subject."""
    return await _scan(client, stream, subject, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)


async def since(client: Client, stream: str, subject: str, start: float) -> list[Msg]:
    """What was stored from `start` on, in seconds since the epoch."""
    return await _scan(
        client,
        stream,
        subject,
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=datetime.fromtimestamp(start, UTC).isoformat(),
    )


async def _scan(client: Client, stream: str, subject: str, **start: Any) -> list[Msg]:
    """What stood there when the scan began. What is written meanwhile is left out: a busy stream would never end."""
    js = client.jetstream(timeout=5)
    last = (await js.stream_info(stream)).state.last_seq
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, mem_storage=True, num_replicas=1, inactive_threshold=30.0, **start
    )
    subscription = await js.pull_subscribe(subject, stream=stream, config=config)
    info = await subscription.consumer_info()
    found: list[Msg] = []
    try:
        left = info.num_pending or 0
        while left > 0:
            try:
                page = await subscription.fetch(min(PAGE, left), timeout=1)
            except nats.errors.TimeoutError:  # what was left may have been replaced meanwhile
                left = (await subscription.consumer_info()).num_pending or 0
                continue
            for msg in page:
                left = msg.metadata.num_pending if msg.metadata.sequence.stream < last else 0
                if msg.metadata.sequence.stream <= last:
                    found.append(msg)
    finally:
        await subscription.unsubscribe()
        await js.delete_consumer(stream, info.name)
    return found
