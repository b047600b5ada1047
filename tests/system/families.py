"""Families of sagas, and the ways to run many of them in a worker with few places."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import trio
from sagakit import Context, Reject, RetryPolicy, Saga, child, signal, step, timer
from sagakit.store.memory_server import MemoryServer

from tests.sagas import Hook, nothing
from tests.system.members import Member, until_ended

NEVER = 1e7
"""Seconds for which a saga keeps its actor unless another saga needs its place: longer than any test."""
QUICK = RetryPolicy(
    max_attempts=None, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
LONG = timedelta(days=100)
full = pytest.mark.parametrize("places", [1, 2])
passivating = pytest.mark.parametrize("passivate_after", [0.5, NEVER])


class Leaf(Saga[str, str]):
    """A saga with one step, and a hook in its calls."""

    def __init__(self, hook: Hook = nothing) -> None:
        self.hook = hook
        self.log: list[str] = []

    @step(retry=QUICK, timeout=LONG)
    async def work(self, text: str, ctx: Context) -> str:
        self.log.append("work")
        await self.hook("work", ctx)
        return text

    @work.compensate(retry=QUICK, timeout=LONG)
    async def undo_work(self, text: str, done: str | None, ctx: Context) -> None:
        self.log.append("undo_work")
        await self.hook("undo_work", ctx)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Leaf.work)


class Middle(Saga[str, str]):
    leaf = child(Leaf, lambda text, ctx: text)

    @step(leaf, retry=QUICK)
    async def after_leaf(self, text: str, leaf: Any, ctx: Context) -> None: ...

    @after_leaf.compensate(retry=QUICK)
    async def undo_after_leaf(self, text: str, done: None, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Middle.leaf)


class Top(Saga[str]):
    """A saga whose child has a child. With the input `refuse` all three turn back."""

    middle = child(Middle, lambda text, ctx: text)

    @step(middle, retry=QUICK, compensate=None)
    async def last(self, text: str, middle: Any, ctx: Context) -> None:
        if text == "refuse":
            raise Reject("refused")


class Fan(Saga[str]):
    """A saga with five children in parallel."""

    one = child(Leaf, lambda text, ctx: text, after=())
    two = child(Leaf, lambda text, ctx: text, after=())
    three = child(Leaf, lambda text, ctx: text, after=())
    four = child(Leaf, lambda text, ctx: text, after=())
    five = child(Leaf, lambda text, ctx: text, after=())

    @step(one, two, three, four, five, retry=QUICK, compensate=None)
    async def last(self, text: str, a: Any, b: Any, c: Any, d: Any, e: Any, ctx: Context) -> None:
        if text == "refuse":
            raise Reject("refused")


def keys_in(server: MemoryServer, bucket: str) -> list[str]:
    return [entry.key for name in ("Leaf", "Middle", "Top", "Fan") for entry in server.bucket(bucket).entries(name)]


async def all_retired(server: MemoryServer, count: int) -> None:
    """Return when the archive has this number of sagas and no live record is left."""
    with trio.fail_after(1000):
        while len(keys_in(server, "SAGA_ARCHIVE")) < count:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
        for key in keys_in(server, "SAGA_ARCHIVE"):
            await until_ended(server, key)


async def run_all(worker: Member, saga: type[Saga[str, Any]], inputs: Sequence[str], *, prefix: str = "s") -> list[Any]:
    outcomes: list[Any] = [None] * len(inputs)

    async def one(number: int, text: str) -> None:
        outcomes[number] = await worker.runtime.execute(saga, f"{prefix}{number}", text)

    with trio.fail_after(2000):
        async with trio.open_nursery() as nursery:
            for number, text in enumerate(inputs):
                nursery.start_soon(one, number, text)
    return outcomes


class Asked(Saga[str, str]):
    """A saga that waits for a signal and then works."""

    said = signal(str)

    @step(said, compensate=None)
    async def answer(self, text: str, said: str, ctx: Context) -> str:
        return said

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Asked.answer)


class Later(Saga[str]):
    pause = timer(timedelta(seconds=30))

    @step(pause, compensate=None)
    async def go(self, text: str, pause: None, ctx: Context) -> None: ...


class Asks(Saga[str]):
    asked = child(Asked, lambda text, ctx: text)


class Waits(Saga[str]):
    later = child(Later, lambda text, ctx: text)


class Holds(Saga[str]):
    """A saga that keeps its place until the test lets it go on."""

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.begun = 0

    @step(compensate=None, timeout=LONG)
    async def hold(self, text: str, ctx: Context) -> None:
        self.begun += 1
        await self.go_on.wait()


class Hangs:
    """A hook whose calls of one kind never return until the test lets later calls pass."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.hung = 0
        self.hangs = True

    async def __call__(self, name: str, ctx: Context) -> None:
        if name == self.call and self.hangs:
            self.hung += 1
            await trio.sleep_forever()
