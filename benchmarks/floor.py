"""The floor: the rate of pipelined 300-byte messages with an id that a server acknowledges to raw nats-py on asyncio.

It uses the public API only, and does nothing per message that could be left out: `publish` with a reply subject and one
header, one inbox subscription, each acknowledgment decoded and counted. Without header and decoding the figure is about
a third higher.

It runs in a separate process (`python -m benchmarks.floor URL COUNT`), since importing trio_asyncio changes asyncio.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import msgspec
import nats
from nats.aio.msg import Msg
from nats.js.api import StorageType, StreamConfig

PAYLOAD = b"x" * 300
WINDOW = 1000


class Ack(msgspec.Struct):
    """A publish acknowledgment."""

    seq: int = 0
    error: msgspec.Raw | None = None


ack = msgspec.json.Decoder(Ack)


async def measure(url: str, count: int) -> float:
    """Return acknowledged messages per second."""
    nc = await nats.connect(url)
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="FLOOR", subjects=["floor.*"], storage=StorageType.FILE))
    inbox = nc.new_inbox()
    acked = 0
    room = asyncio.Event()

    async def on_ack(msg: Msg) -> None:
        nonlocal acked
        if ack.decode(msg.data).error is not None:
            raise RuntimeError(msg.data.decode())
        acked += 1
        room.set()

    await nc.subscribe(inbox + ".*", cb=on_ack)
    start = time.perf_counter()
    sent = 0
    while acked < count:
        while sent < count and sent - acked < WINDOW:
            headers = {"Nats-Msg-Id": str(sent)}
            await nc.publish(f"floor.{sent % 100}", PAYLOAD, reply=f"{inbox}.{sent}", headers=headers)
            sent += 1
        room.clear()
        await room.wait()
    rate = count / (time.perf_counter() - start)
    await js.delete_stream("FLOOR")
    await nc.close()
    return rate


def floor(url: str, count: int) -> float:
    """Measure in a fresh process; return messages per second."""
    command = [sys.executable, "-m", "benchmarks.floor", url, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))))
