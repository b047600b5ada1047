"""A program without sagakit that publishes to the inbox of a real server."""

from __future__ import annotations

import sys

import trio

from tests.servers import Server

SENDER = """
import asyncio, sys, nats

async def main(url, *messages):
    nc = await nats.connect(url)
    js = nc.jetstream()
    for subject, message_id, body in zip(messages[::3], messages[1::3], messages[2::3]):
        await js.publish(subject, body.encode(), headers={"Nats-Msg-Id": message_id})
    await nc.close()
    assert "sagakit" not in sys.modules

asyncio.run(main(*sys.argv[1:]))
"""


async def send(server: Server, *messages: str) -> None:
    """Publish messages, each given as subject, id and body."""
    command = [sys.executable, "-c", SENDER, server.url, *messages]
    await trio.run_process(command)
