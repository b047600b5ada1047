"""Collector of the evidence: waits until every saga has ended or is stuck, then reads buckets and events with nats-py.

`python -m tests.chaos.collect URL FOLDER SECONDS` waits for SECONDS at most. The checker judges the sagas that have not
ended by then.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.chaos.client import connect
from tests.chaos.history import Event, Stored, as_version
from tests.chaos.load import read_acked, read_starts

LOOK = 1.0
"""Seconds between looks."""


async def read_all(client: Client, stream: str, *, last_only: bool = False) -> AsyncIterator[Msg]:
    """Return all messages of a stream, or the last one of each subject."""
    js = client.jetstream(timeout=10)
    policy = DeliverPolicy.LAST_PER_SUBJECT if last_only else DeliverPolicy.ALL
    if (await js.stream_info(stream)).state.messages == 0:
        return
    subscription = await js.subscribe(
        ">", stream=stream, ordered_consumer=True, config=ConsumerConfig(deliver_policy=policy)
    )
    subscription._pending_bytes_limit = 2**40
    while True:
        msg = await subscription.next_msg(timeout=10)
        yield msg
        if msg.metadata.num_pending == 0:
            break
    await subscription.unsubscribe()


async def _stored(client: Client, bucket: str) -> list[Stored]:
    head = f"$KV.{bucket}."
    return [
        Stored(msg.metadata.sequence.stream, msg.subject.removeprefix(head), msgspec.Raw(msg.data))
        async for msg in read_all(client, f"KV_{bucket}", last_only=True)
        if not (msg.headers and "KV-Operation" in msg.headers)
    ]


async def _open(client: Client, folder: Path) -> tuple[list[str], int]:
    """Return the sagas that have neither ended nor got stuck, or are still to start; and the messages in the inbox."""
    found = {one.key: as_version(one.key, one.seq, 0, one.value) for one in await _stored(client, "SAGA_STATE")}
    started = {f"{one.saga_type}.{one.saga_id}" for one in read_acked(folder) if one.kind == "start"}
    live = [key for key, one in found.items() if one.record is not None and one.record.status != "stuck"]
    inbox = (await client.jetstream(timeout=10).stream_info("SAGA_INBOX")).state.messages
    ended = {one.key for one in await _stored(client, "SAGA_ARCHIVE")}  # end markers expire after a while
    # a worker that was started again late may still have starts before it
    unstarted = {f"{one.saga_type}.{one.saga_id}" for one in read_starts(folder)} - started
    return sorted(set(live) | (started - set(found) - ended) | unstarted), inbox


async def _settle(client: Client, folder: Path, seconds: float) -> int:
    """Wait until nothing is left or the time is over; return the number of messages left in the inbox."""
    until = time.monotonic() + seconds
    while True:
        try:
            left, inbox = await _open(client, folder)
        except (nats.errors.Error, OSError) as error:
            print(f"not now: {error!r}", flush=True)
            await asyncio.sleep(LOOK)  # the server is not back yet
            continue
        print(f"{len(left)} sagas open, {inbox} messages in the inbox; {' '.join(left[:3])}", flush=True)
        if (not left and not inbox) or time.monotonic() > until:
            return inbox
        await asyncio.sleep(LOOK)  # the workers are other processes


def _write(path: Path, lines: Iterable[object]) -> None:
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)


async def main(url: str, folder: Path, seconds: float, *, servers_only: bool) -> None:
    """Wait, then read everything and write it down."""
    client = await connect(url)
    inbox = await _settle(client, folder, seconds)
    for bucket, name in (("SAGA_STATE", "state"), ("SAGA_ARCHIVE", "archive")):
        _write(folder / f"{name}.jsonl", await _stored(client, bucket))
    events = [
        Event(
            seq=msg.metadata.sequence.stream,
            at=int(msg.metadata.timestamp.timestamp() * 10**9),
            subject=msg.subject,
            message_id=(msg.headers or {}).get("Nats-Msg-Id", ""),
            body=msgspec.Raw(msg.data),
        )
        async for msg in read_all(client, "SAGA_EVENTS")
    ]
    _write(folder / "events.jsonl", events)
    _write(folder / "dead.jsonl", [msgspec.Raw(msg.data) async for msg in read_all(client, "SAGA_DEAD")])
    facts = {"inbox_left": inbox, "servers_only": servers_only}
    (folder / "facts.json").write_bytes(msgspec.json.encode(facts))
    await client.close()


if __name__ == "__main__":
    servers = sys.argv[4:] == ["servers-only"]
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), servers_only=servers))
