"""The sagas and factories that the tests give to `sagakit worker`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import trio
from sagakit import Context, RetryPolicy, Saga, child, signal, step

QUICK = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
NOTES = Path(os.environ.get("NOTES", os.devnull))
"""The notes of the sagas: a line for each event, in order."""


def note(text: str) -> None:
    with NOTES.open("a") as file:
        file.write(text + "\n")


class Call(msgspec.Struct, frozen=True):
    """The step ends once the file `gate` exists."""

    gate: str = ""


class Wait(Saga[Call, str]):
    @step(pivot=True, retry=QUICK)
    async def wait(self, call: Call, ctx: Context) -> str:
        note("called")
        while call.gate and not Path(call.gate).exists():  # noqa: ASYNC110, ASYNC240  # another process opens it
            await trio.sleep(0.01)
        return "done"

    def output(self, input: Call, ctx: Context) -> str:
        return ctx.result(Wait.wait)


class Block(Saga[Call, str]):
    """A step that never yields to the loop: a bug that a second signal must get through."""

    @step(pivot=True, retry=QUICK)
    async def block(self, call: Call, ctx: Context) -> str:
        note("called")
        while True:
            os.getpid()

    def output(self, input: Call, ctx: Context) -> str:
        return ctx.result(Block.block)


class Parcel(msgspec.Struct, frozen=True):
    """The carrier takes the parcel once the file `carrier` exists; the refund succeeds once the file `bank` exists."""

    carrier: str
    bank: str = ""


class Deliver(Saga[Parcel, str]):
    """A saga that gets stuck at its pivot, and in an undo."""

    @step(compensate=None)
    async def pack(self, parcel: Parcel, ctx: Context) -> str:
        return "packed"

    @step(pack, retry=QUICK)
    async def charge(self, parcel: Parcel, packed: str, ctx: Context) -> str:
        return "charged"

    @charge.compensate(retry=QUICK)
    async def refund(self, parcel: Parcel, charge: str | None, ctx: Context) -> None:
        _check_there(parcel.bank, "bank")

    @step(charge, pivot=True, retry=QUICK)
    async def hand_over(self, parcel: Parcel, charge: str, ctx: Context) -> str:
        _check_there(parcel.carrier, "carrier")
        return "label 7"

    def output(self, input: Parcel, ctx: Context) -> str:
        return ctx.result(Deliver.hand_over)


def _check_there(file: str, service: str) -> None:
    if not Path(file).exists():
        raise ConnectionError(f"{service}: 503 after {len(file)} ms")


class Sell(Saga[Parcel, str]):
    """A saga that starts another one."""

    delivered = child(Deliver, lambda parcel, ctx: parcel, pivot=True)

    def output(self, input: Parcel, ctx: Context) -> str:
        return ctx.result(Sell.delivered)


class Approve(Saga[str, bool]):
    approved = signal(bool)

    def output(self, input: str, ctx: Context) -> bool:
        return ctx.result(Approve.approved)


class Pool:
    """Belongs to the asyncio task and loop that opened it, as a database's pool does."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.lock = asyncio.Lock()

    async def query(self) -> str:
        assert asyncio.get_running_loop() is self.loop
        async with self.lock:
            await asyncio.sleep(0)
        return "from the pool"


class Query(Saga[Call, str], backend="asyncio"):
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @step(pivot=True, retry=QUICK)
    async def ask(self, call: Call, ctx: Context) -> str:
        note("called")
        return await self.pool.query()

    def output(self, input: Call, ctx: Context) -> str:
        return ctx.result(Query.ask)


class Sleep(Saga[Call, str], backend="asyncio"):
    @step(pivot=True, retry=QUICK)
    async def sleep(self, call: Call, ctx: Context) -> str:
        await asyncio.sleep(0)
        note("called")
        return "slept"

    def output(self, input: Call, ctx: Context) -> str:
        return ctx.result(Sleep.sleep)


sagas = [Wait(), Block()]
parcels = [Deliver(), Approve()]
families = [Sell(), *parcels]
asyncio_steps = (Sleep(),)
one = Wait()
empty: list[Wait] = []
classes = [Wait]
number = 7


def made() -> list[Wait]:
    return [Wait()]


async def made_async() -> tuple[Wait]:
    await trio.lowlevel.checkpoint()
    return (Wait(),)


@contextmanager
def held() -> Iterator[list[Wait]]:
    note("opened")
    yield [Wait()]
    note("closed")


@asynccontextmanager
async def held_async() -> AsyncIterator[list[Wait]]:
    note("opened")
    async with trio.open_nursery():
        yield [Wait()]
    note("closed")


@asynccontextmanager
async def pool() -> AsyncIterator[list[Query]]:
    """Make sagas for `--asyncio`. The task that entered the task group must also leave it."""
    note("opened")
    async with asyncio.TaskGroup():
        yield [Query(Pool())]
    note("closed")


def breaks() -> list[Wait]:
    raise LookupError("no such database")


def __getattr__(name: str) -> Any:
    """Define `bad` and `late` when they are asked for, since their definitions are refused."""
    if name == "bad":

        class Bad(Saga[Call, str]):
            pass

        return [Bad()]
    if name == "Late":

        class Late(Saga[Call]):
            @step(compensate=None)
            async def later(self, call: Call, ctx: Context) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821

        return Late
    if name == "late":
        return [__getattr__("Late")()]
    if name == "changed":

        class Wait(Saga[Call, str]):
            @step(pivot=True)
            async def other(self, call: Call, ctx: Context) -> int:
                return 1

            def output(self, input: Call, ctx: Context) -> str:
                return ""

        return [Wait()]
    raise AttributeError(name)
