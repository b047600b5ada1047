"""The shop: all processes of the example, and who kills them in turn."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from sagakit.jetstream.ports import free_port

from examples.services.processes import Kept

ROOT = Path(__file__).parents[2]
SHIPPING = ROOT / "examples" / "participant-js" / "shipping.js"
SAGAKIT = [sys.executable, "-m", "sagakit"]


class Shop:
    """The processes of the shop, in a folder, with a server at a free port of the loopback."""

    def __init__(self, folder: Path) -> None:
        port, self._front_port = free_port(), free_port()
        self.url = f"nats://127.0.0.1:{port}"
        self.front = f"http://127.0.0.1:{self._front_port}"
        self._folder = folder
        self._environment = {"NATS_URL": self.url, "PYTHONPATH": str(ROOT)}
        self.server = self._kept("server", *SAGAKIT, "server", "--folder", "nats", "--port", str(port))
        self._setup = self._kept("setup", *SAGAKIT, "setup")
        front = ["-m", "uvicorn", "examples.services.front:app", "--port", str(self._front_port), "--no-access-log"]
        self.others = [
            self._kept("stock", sys.executable, "-m", "examples.services.stock"),
            self._kept("payments", sys.executable, "-m", "examples.services.payments"),
            self._kept("shipping", "node", str(SHIPPING)),
            self._kept("worker-1", *SAGAKIT, "worker", "examples.services.saga:sagas"),
            self._kept("worker-2", *SAGAKIT, "worker", "examples.services.saga:sagas"),
            self._kept("front", sys.executable, *front),
        ]

    def _kept(self, name: str, *command: str) -> Kept:
        return Kept(name, command, self._folder, self._environment)

    async def run(self) -> None:
        """Keep all processes running until this is cancelled. The server is the last to end."""
        async with asyncio.TaskGroup() as group:
            server = group.create_task(self.server.run())
            try:
                await self._setup.until_done()
                async with asyncio.TaskGroup() as others:
                    for process in self.others:
                        others.create_task(process.run())
            finally:
                server.cancel()

    async def until_open(self) -> None:
        """Return once the front takes connections."""
        while True:
            try:
                _, connection = await asyncio.open_connection("127.0.0.1", self._front_port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return connection.close()


class Killer:
    """Kills each process in turn while orders are on their way, evenly between the first and the last one."""

    def __init__(self, mortal: Sequence[Kept], orders: int) -> None:
        share = orders / (len(mortal) + 1)
        self._due = [(round(share * number), process) for number, process in enumerate(mortal, 1)]
        self._turn = asyncio.Lock()

    async def order_ended(self, ended: int) -> None:
        """Kill the processes that are due once so many orders have ended."""
        async with self._turn:
            while self._due and self._due[0][0] <= ended:
                _, process = self._due.pop(0)
                await process.kill()
                print(f"kill -9 {process.name:9} after {ended} orders", flush=True)
