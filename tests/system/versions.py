"""Two versions of one saga, and a worker process that knows the versions named in its arguments.

python -m tests.system.versions URL NAMESPACE LOG VERSIONS [start|finish]
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio
from sagakit import Context, OldSaga, RetryPolicy, Saga, open_runtime, step

POLICY = RetryPolicy(max_attempts=3, initial_interval=timedelta(milliseconds=10))


class Shelf:
    """A service that writes down each effect once, by key. The step named by `hang` never answers."""

    def __init__(self, path: Path, hang: str) -> None:
        self.path = path
        self.hang = hang

    async def do(self, what: str, key: str) -> str:
        known = self.path.read_text().splitlines() if self.path.exists() else []
        if f"{what} {key}" not in known:
            with self.path.open("a") as file:
                file.write(f"{what} {key}\n")
        if self.hang == what:
            print(f"hangs in {what}", flush=True)
            await trio.sleep_forever()
        return f"{what} done"


class OrderOne(Saga[str, str], name="Order", version=1):
    """Reserve, charge."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    @step(retry=POLICY)
    async def reserve(self, order: str, ctx: Context) -> str:
        return await self.shelf.do("reserve", ctx.key)

    @reserve.compensate
    async def release(self, order: str, held: str | None, ctx: Context) -> None:
        await self.shelf.do("release", ctx.action_key)

    @step(reserve, compensate=None, retry=POLICY)
    async def charge(self, order: str, held: str, ctx: Context) -> str:
        return await self.shelf.do("charge", ctx.key)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(OrderOne.charge)


class Order(msgspec.Struct):
    """An input that replaces the plain name of version 1."""

    name: str
    express: bool


class Hold(msgspec.Struct):
    """A reservation that replaces the plain text of version 1."""

    ref: str


class OrderTwo(Saga[Order, list[str]], name="Order", version=2):
    """Hold (it was reserve), charge, and now insure."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    @step(retry=POLICY)
    async def hold(self, order: Order, ctx: Context) -> Hold:
        return Hold(await self.shelf.do("hold", ctx.key))

    @hold.compensate
    async def release(self, order: Order, held: Hold | None, ctx: Context) -> None:
        await self.shelf.do("release", ctx.action_key)

    @step(hold, compensate=None, retry=POLICY)
    async def charge(self, order: Order, held: Hold, ctx: Context) -> str:
        return await self.shelf.do("charge", ctx.key)

    @step(charge, compensate=None, retry=POLICY)
    async def insure(self, order: Order, charged: str, ctx: Context) -> str:
        return await self.shelf.do("insure", ctx.key)

    def output(self, input: Order, ctx: Context) -> list[str]:
        return [input.name, ctx.result(OrderTwo.hold).ref, ctx.result(OrderTwo.insure)]

    def migrate(self, old: OldSaga) -> None:
        old.input = {"name": old.input, "express": False}
        old.rename("reserve", OrderTwo.hold)
        if old.state("reserve") == "done":
            old.set_result("reserve", {"ref": old.results["reserve"]})


async def main(url: str, namespace: str, log: str, versions: str, *jobs: str) -> None:
    """Run a worker with these versions. `start` starts an order, `hang:STEP` hangs there, `finish` waits for it."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    hang = next((job.removeprefix("hang:") for job in jobs if job.startswith("hang:")), "")
    shelf = Shelf(Path(log), hang)
    known: dict[str, Saga[Any, Any]] = {"1": OrderOne(shelf), "2": OrderTwo(shelf)}
    options: dict[str, Any] = {"namespace": namespace, "scan_interval": 0.2}
    async with open_runtime(url, sagas=[known[version] for version in versions], **options) as runtime:
        if "start" in jobs and versions == "1":
            await runtime.start(OrderOne, "a", "books")
        elif "start" in jobs:
            await runtime.start(OrderTwo, "a", Order("books", True))
        print("ready", flush=True)
        if "finish" in jobs:
            print(await (await runtime.get(OrderTwo, "a")).outcome(), flush=True)
            with trio.fail_after(60):
                while await runtime.list_active():  # noqa: ASYNC110  # every event is then in the log
                    await trio.sleep(0.05)
            history = await runtime.history(OrderTwo, "a")
            print([event.type.split(".", 2)[2] for event in history.events], flush=True)
        else:
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
