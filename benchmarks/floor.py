"""The floor: raw pipelined nats-py on plain asyncio, JetStream-acknowledged publishes of 300 bytes.

Runs in a process of its own (`python -m benchmarks.floor URL COUNT`): importing trio_asyncio changes asyncio.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import nats
from nats.aio.msg import Msg
from nats.js.api import StorageType, StreamConfig

PAYLOAD = b"x" * 300
WINDOW = 1000


async def measure(url: str, count: int) -> float:
    """Acknowledged messages per second."""
    nc = await nats.connect(url)
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="FLOOR", subjects=["floor.*"], storage=StorageType.FILE))
    inbox = nc.new_inbox()
    acked = 0
    room = asyncio.Event()

    async def on_ack(msg: Msg) -> None:
        nonlocal acked
        if b'"error"' in msg.data:
            raise RuntimeError(msg.data.decode())
        acked += 1
        room.set()

    await nc.subscribe(inbox + ".*", cb=on_ack)
    start = time.perf_counter()
    sent = 0
    while acked < count:
        while sent < count and sent - acked < WINDOW:
            await nc.publish(f"floor.{sent % 100}", PAYLOAD, reply=f"{inbox}.{sent}")
            sent += 1
        room.clear()
        await room.wait()
    rate = count / (time.perf_counter() - start)
    await js.delete_stream("FLOOR")
    await nc.close()
    return rate


def floor(url: str, count: int) -> float:
    """Measure in a fresh process; messages per second."""
    command = [sys.executable, "-m", "benchmarks.floor", url, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))))
