"""The sagas of the worker under attack, as a process: `tests.hostile.sagas:sagas`."""

from __future__ import annotations

from dataclasses import dataclass

import trio
from sagakit import Context, Saga, signal, step

RATES = {"EUR": 1.0, "USD": 1.1}


@dataclass
class Money:
    """An input whose reading looks a rate up, and raises the errors of a dictionary."""

    currency: str
    amount: int = 1

    def __post_init__(self) -> None:
        self.value = self.amount * RATES[self.currency]


class Honest(Saga[Money, int]):
    """A saga of two steps and a signal."""

    @step
    async def reserve(self, money: Money, ctx: Context) -> str:
        return ctx.key

    @reserve.compensate
    async def release(self, money: Money, key: str | None, ctx: Context) -> None:
        return None

    go = signal(int, after=[reserve])

    @step(go, pivot=True)
    async def pay(self, money: Money, go: int, ctx: Context) -> int:
        return money.amount + go

    def output(self, input: Money, ctx: Context) -> int:
        return ctx.result(Honest.pay)


class Slow(Saga[int]):
    """A saga that holds its place for as long as its input says."""

    @step(compensate=None)
    async def wait(self, seconds: int, ctx: Context) -> None:
        await trio.sleep(seconds)


sagas = [Honest(), Slow()]
