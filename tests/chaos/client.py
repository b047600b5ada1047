"""A client that knows only NATS: it starts sagas and sends them messages through the inbox, as docs/wire.md says.

`python -m tests.chaos.client URL FOLDER RATE`. The client begins once the file `go` is there. It sends a message again
under the same id until it is acknowledged. It sends one message in ten twice in any case, the second time when the
stream has forgotten the first.
It also sends signals and cancels for the workers' sagas, some time after their start was acknowledged.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import PubAck

from tests.chaos.load import CLIENT, GO, Acked, Said, Start, read_acked, read_said, read_starts

AGAIN = 0.3
"""Seconds before a message that was not acknowledged is sent again."""
AGAIN_PERCENT = 10
SOME_TIME_LATER = 2.5
"""Seconds between two copies of a message; more than the inbox remembers, see `recorder.prepare`."""


class Inbox:
    """A sender that sends until it is acknowledged, and writes down each acknowledgment."""

    def __init__(self, client: Client, log: BinaryIO) -> None:
        self._client = client
        self._log = log

    async def say(self, saga_type: str, saga_id: str, kind: Any, body: dict[str, Any]) -> None:
        """Send one message, which is durable once this returns."""
        message = f"{kind}-{saga_type}-{saga_id}"
        if zlib.crc32(message.encode()) % 100 < AGAIN_PERCENT:
            await self._send(saga_type, saga_id, message, {"kind": kind} | body)
            await asyncio.sleep(SOME_TIME_LATER)
        await self._send(saga_type, saga_id, message, {"kind": kind} | body)
        self._log.write(msgspec.json.encode(Acked(saga_type, saga_id, kind, message)) + b"\n")

    async def _send(self, saga_type: str, saga_id: str, message: str, body: dict[str, Any]) -> None:
        payload = msgspec.json.encode(body)
        while True:
            try:
                js = self._client.jetstream(timeout=2)
                ack: PubAck = await js.publish(
                    f"sagain.{saga_type}.{saga_id}", payload, headers={"Nats-Msg-Id": message}, stream="SAGA_INBOX"
                )
                break
            except (nats.errors.Error, OSError):
                await asyncio.sleep(AGAIN)  # the server may be down: chaos does that
        assert ack.stream == "SAGA_INBOX"


async def connect(url: str) -> Client:
    """Open a connection that reconnects by itself, silently."""

    async def quiet(*_: object) -> None:
        return

    return await nats.connect(
        url.split(","),
        error_cb=quiet,
        connect_timeout=2,
        reconnect_time_wait=0.1,
        max_reconnect_attempts=-1,
        ping_interval=2,
        max_outstanding_pings=2,
        pending_size=0,
    )


async def _start_all(inbox: Inbox, starts: list[Start], rate: float) -> None:
    async with asyncio.TaskGroup() as group:
        for start in starts:
            group.create_task(inbox.say(start.saga_type, start.saga_id, "start", {"input": start.input}))
            await asyncio.sleep(1 / rate)


async def _say_all(inbox: Inbox, folder: Path) -> None:
    """Send each message some time after the saga's start was acknowledged, to any starter."""
    waiting: dict[tuple[str, str], list[Said]] = {}
    for said in read_said(folder):
        waiting.setdefault((said.saga_type, said.saga_id), []).append(said)
    async with asyncio.TaskGroup() as group:
        while waiting:
            for key in {(done.saga_type, done.saga_id) for done in read_acked(folder) if done.kind == "start"}:
                for said in waiting.pop(key, []):
                    group.create_task(_say(inbox, said))
            await asyncio.sleep(0.5)  # another process writes the file


async def _say(inbox: Inbox, said: Said) -> None:
    await asyncio.sleep(said.after)
    body = {"step": "approved", "payload": "ann"} if said.kind == "signal" else {"reason": "chaos", "by": "ann"}
    await inbox.say(said.saga_type, said.saga_id, said.kind, body)


async def main(url: str, folder: Path, rate: float) -> None:
    """Send until everything is sent, or until SIGTERM."""
    client = await connect(url)
    with (folder / f"acked-{CLIENT}.jsonl").open("ab", buffering=0) as log:
        while not (folder / GO).exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.05)
        inbox = Inbox(client, log)
        work = asyncio.gather(_start_all(inbox, read_starts(folder, CLIENT), rate), _say_all(inbox, folder))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            print("stopped before all was said")
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
