"""Recorder of the audit trail: every version of every record, as the server republishes it when it is stored.

    python -m tests.chaos.recorder prepare URL      let SAGA_STATE republish what it stores; shorten the inbox's memory
    python -m tests.chaos.recorder record URL FOLDER

The bucket keeps one version of a key, so a consumer misses some. A stream that captures the republished messages gets
few of them: they keep their `Nats-Expected-Last-Subject-Sequence`, which that stream checks against its own sequence,
and refuses. So this listens on a connection to each node, and writes down the first copy of each version that it
hears, with the sequence and the time that the server gave it. Gaps in the sequences show the missing versions.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.chaos.client import connect
from tests.chaos.history import Heard

STATE, INBOX = "KV_SAGA_STATE", "SAGA_INBOX"
REPUBLISHED, REPLIES = "chaos.audit.>", "chaos.replies.>"


async def prepare(url: str) -> None:
    """Change two streams; idempotent. Both republish what they have stored, the inbox the replies of participants.

    The inbox forgets message ids after a second, so that a message that is sent twice reaches the workers twice, as it
    does when a client sends it again after a long outage.
    """
    client = await connect(url)
    await _edit(client, STATE, {"republish": {"src": "$KV.SAGA_STATE.>", "dest": REPUBLISHED}})
    await _edit(client, INBOX, {"duplicate_window": 10**9, "republish": {"src": "sagareply.>", "dest": REPLIES}})
    await client.close()


async def _edit(client: Client, stream: str, changes: dict[str, Any]) -> None:
    info = msgspec.json.decode((await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=10)).data)
    request = msgspec.json.encode(info["config"] | changes)
    answer = msgspec.json.decode((await client.request(f"$JS.API.STREAM.UPDATE.{stream}", request, timeout=10)).data)
    assert changes.items() <= answer.get("config", {}).items(), answer


class Trail:
    """A listener that writes down each version once."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._heard: set[int] = set()

    async def hear(self, msg: Msg) -> None:
        """Take one copy of a version."""
        headers = msg.headers or {}
        sequence = int(headers["Nats-Sequence"])
        if sequence in self._heard:
            return
        self._heard.add(sequence)
        heard = Heard(
            seq=sequence,
            at=nanoseconds(headers["Nats-Time-Stamp"]),
            key=headers["Nats-Subject"].split(".", 2)[2],
            operation=headers.get("KV-Operation", ""),
            value=msgspec.Raw(msg.data or b"null"),
        )
        self._log.write(msgspec.json.encode(heard) + b"\n")


def nanoseconds(stamp: str) -> int:
    """Return the nanoseconds of an RFC 3339 time, with up to nine digits after the point."""
    whole, _, rest = stamp.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(rest.ljust(9, "0")[:9] or "0")


async def record(url: str, folder: Path) -> None:
    """Record until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with (
        (folder / "trail.jsonl").open("wb", buffering=2**20) as log,
        (folder / "replies.jsonl").open("wb", buffering=2**20) as replies,
    ):
        trail = Trail(log)

        heard: set[str] = set()

        async def hear_reply(msg: Msg) -> None:
            sequence = (msg.headers or {})["Nats-Sequence"]
            if sequence not in heard:
                heard.add(sequence)
                replies.write(msg.data + b"\n")

        clients = [await connect(one) for one in url.split(",")]
        for client in clients:
            await client.subscribe(REPUBLISHED, cb=trail.hear, pending_msgs_limit=2**31, pending_bytes_limit=2**40)
            await client.subscribe(REPLIES, cb=hear_reply, pending_msgs_limit=2**31, pending_bytes_limit=2**40)
            await client.flush()
        (folder / "recorder.ready").touch()
        while not stop.is_set():
            log.flush()
            replies.flush()
            try:
                await asyncio.wait_for(stop.wait(), 0.2)
            except TimeoutError:
                continue
        for client in clients:
            await client.close()


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        asyncio.run(prepare(sys.argv[2]))
    else:
        asyncio.run(record(sys.argv[2], Path(sys.argv[3])))
