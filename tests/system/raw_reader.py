"""A program that reads buckets and events with nats-py alone and prints JSON: `raw_reader.py URL NAMESPACE`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import nats
from nats.js.api import DeliverPolicy
from nats.js.client import JetStreamContext


async def read_all(js: JetStreamContext, stream: str) -> list[Any]:
    count = (await js.stream_info(stream)).state.messages
    found: list[Any] = []
    subscription = await js.subscribe(">", stream=stream, ordered_consumer=True, deliver_policy=DeliverPolicy.ALL)
    while len(found) < count:
        found.append(await subscription.next_msg(timeout=60))
    await subscription.unsubscribe()
    return found


async def main(url: str, namespace: str) -> None:
    nc = await nats.connect(url)
    js = nc.jetstream()
    names: list[str] = []
    while page := await js.streams_info(offset=len(names)):
        names += [info.config.name or "" for info in page]
    streams = sorted(name for name in names if namespace in name.split("_"))
    buckets: dict[str, Any] = {}
    for bucket in ("state", "archive"):
        messages = await read_all(js, f"KV_{namespace}_SAGA_{bucket.upper()}")
        buckets[bucket] = {
            msg.subject.split(".", 2)[2]: {"value": json.loads(msg.data), "headers": dict(msg.headers or {})}
            for msg in messages
        }
    events = [
        {"subject": msg.subject, "headers": dict(msg.headers or {}), "body": json.loads(msg.data)}
        for msg in await read_all(js, f"{namespace}_SAGA_EVENTS")
    ]
    await nc.close()
    assert "sagakit" not in sys.modules
    print(json.dumps({"streams": streams, "events": events, **buckets}))


asyncio.run(main(sys.argv[1], sys.argv[2]))
