"""A process with an asyncio client, as a web service is: it starts a saga, awaits its outcome, and loads no trio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.client.faces import Buy, worker
from tests.servers import Server

PROGRAM = """
import asyncio, sys
from datetime import timedelta
import msgspec
import sagakit.asyncio
from sagakit import Context, Saga, signal, step

class Order(msgspec.Struct):
    number: int

class Buy(Saga[Order, str]):
    @step(compensate=None)
    async def charge(self, order: Order, ctx: Context) -> str:
        raise AssertionError("a client runs no steps")

    def output(self, order: Order, ctx: Context) -> str:
        raise AssertionError("a client computes no outputs")

async def main() -> None:
    async with sagakit.asyncio.open_client(sys.argv[1], namespace=sys.argv[2]) as client:
        handle = await client.start(Buy, "one", Order(7))
        print(await handle.outcome())
        print([info.id for info in (await client.list(status="completed")).items])
        async with client.watch(Buy, after="start") as events:
            print((await anext(events)).type)

asyncio.run(main())
print(sorted({"trio", "trio_asyncio", "sniffio", "sagakit_actors"} & set(sys.modules)))
"""


def test_an_asyncio_client_loads_no_trio(server: Server, namespace: str, tmp_path: Path) -> None:
    with worker(server, namespace, Buy()):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, server.url, namespace],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["Completed(output='7 unasked')", "['one']", "saga.Buy.started", "[]"]
