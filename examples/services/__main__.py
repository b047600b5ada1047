"""The whole example: all processes are started, orders are sent, each process may be killed, the books are audited.

python -m examples.services --orders 1000 --kill
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sagakit.jetstream.ports import free_port

from examples.services.archive import Ended, read_archive, until_all_is_answered
from examples.services.audit import audit
from examples.services.load import Load, orders
from examples.services.processes import Kept

ROOT = Path(__file__).parents[2]
SHIPPING = ROOT / "examples" / "participant-js" / "shipping.js"
SAGAKIT = [sys.executable, "-m", "sagakit"]
WITHIN, WITHIN_PER_ORDER = 600.0, 1.0
"""Seconds in which all has to be over."""


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
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)
            else:
                return connection.close()


async def work(folder: Path, count: int, *, kill: bool) -> bool:
    """Run orders through the shop, and print what came of it. Return True if the books balance."""
    shop, wanted = Shop(folder), orders(count)
    load = Load(shop.front, after_each=Killer([*shop.others, shop.server], count).order_ended if kill else None)
    running = asyncio.create_task(shop.run())
    bound = asyncio.timeout(WITHIN + WITHIN_PER_ORDER * count)
    try:
        async with bound:
            await shop.until_open()
            print("the shop is open", flush=True)
            await load.run(wanted)
            print_load(load)
            await until_all_is_answered(shop.url)
            ends = await read_archive(shop.url)
    except TimeoutError:
        if not bound.expired():
            raise
        print(f"the shop was not done in time: {len(load.ends)} of {count} orders have ended")
        return False
    finally:
        running.cancel()
        await asyncio.wait([running])
    print_ends(ends)
    return print_audit(audit(folder, wanted, ends))


class Killer:
    """Kills each process in turn while orders are on their way, evenly between the first and the last one."""

    def __init__(self, mortal: Sequence[Kept], orders: int) -> None:
        share = orders / (len(mortal) + 1)
        self._due = [(round(share * number), process) for number, process in enumerate(mortal, 1)]

    async def order_ended(self, ended: int) -> None:
        """Kill the processes that are due once so many orders have ended."""
        while self._due and self._due[0][0] <= ended:
            _, process = self._due.pop(0)
            await process.kill()
            print(f"kill -9 {process.name:9} after {ended} orders", flush=True)


def print_load(load: Load) -> None:
    ends = Counter(load.ends.values())
    print(f"{len(load.ends)} orders by HTTP; {load.sent_again} requests were sent again")
    print(*(f"{end} {count}" for end, count in ends.most_common()), sep=", ")


def print_ends(ends: dict[str, Ended]) -> None:
    taken_over = sum(end.taken_over for end in ends.values())
    asked_again = sum(end.asked_again for end in ends.values())
    in_doubt = sum(end.in_doubt for end in ends.values())
    print(f"sagas taken over by another worker: {taken_over}; their attempts in doubt: {in_doubt}")
    print(f"commands sent again, since no reply came in time: {asked_again}")


def print_audit(findings: dict[str, list[str]]) -> bool:
    for rule, wrong in findings.items():
        print("WRONG" if wrong else "ok   ", rule)
        for line in wrong[:10]:
            print(f"      {line}")
    balanced = not any(findings.values())
    print("books balance" if balanced else "the books do not balance")
    return balanced


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return 1 if the books do not balance."""
    parser = argparse.ArgumentParser(prog="python -m examples.services", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--orders", type=int, default=200, help="how many orders are sent")
    parser.add_argument("--kill", action="store_true", help="kill each process by `kill -9` in turn, the server too")
    given = parser.parse_args(arguments)
    if shutil.which("node") is None or not (SHIPPING.parent / "node_modules").exists():
        parser.error("shipping needs Node 20 and its packages: `.ci/install`, then `npm ci` in examples/participant-js")
    folder = Path(tempfile.mkdtemp(prefix="sagakit-services-"))
    if not asyncio.run(work(folder, given.orders, kill=given.kill)):
        print(f"databases and logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
