"""A type whose reading and comparing fail as soon as a test asks for it, and sagas that keep such a value.

A type that looks a table up behaves like this once the table has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import trio
from sagakit import (
    Context,
    RetryPolicy,
    Saga,
    signal,
    step,
)

from tests.stale import STALE
from tests.system.odd_errors import Odd, Silent

QUICK = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)


RAISED: list[Callable[[], BaseException]] = [
    lambda: KeyError("XXX"),
    Silent,
    lambda: SystemExit("argparse does so"),
    asyncio.CancelledError,
    Odd,
    lambda: STALE,
    lambda: BaseExceptionGroup("in a nursery", [SystemExit("argparse does so")]),
]
IDS = ["KeyError", "silent", "exit", "asyncio", "odd", "stale", "group"]
raising = pytest.mark.parametrize("make", RAISED, ids=IDS)

SAYS: list[Callable[[], BaseException]] = []


@pytest.fixture(autouse=True)
def money_is_good() -> Iterator[None]:
    SAYS.clear()
    yield
    SAYS.clear()


@dataclass
class Money:
    currency: str

    def __post_init__(self) -> None:
        if self.currency == "XXX":
            raise KeyError(self.currency)
        if SAYS:
            raise SAYS[0]()

    def __eq__(self, other: object) -> bool:
        if SAYS:
            raise SAYS[0]()
        return isinstance(other, Money) and self.currency == other.currency

    __hash__ = None  # type: ignore[assignment]  # a dataclass with __eq__ has no hash


EUR = Money("EUR")


class Pay(Saga[Money, str]):
    """A saga that waits for a signal and then pays."""

    def __init__(self) -> None:
        self.paid: list[str] = []

    go = signal(str)

    @step(go, retry=QUICK)
    async def pay(self, money: Money, go: str, ctx: Context) -> str:
        self.paid.append(money.currency)
        return go

    @pay.compensate(retry=QUICK)
    async def refund(self, money: Money, paid: str | None, ctx: Context) -> None:
        self.paid.append(f"-{money.currency}")

    stay = signal(str)

    def output(self, input: Money, ctx: Context) -> str:
        return ctx.result(Pay.pay)


class Kept(Saga[int]):
    """A step returns money. One later step asks the context for it, another takes it as an argument."""

    @step
    async def first(self, n: int, ctx: Context) -> Money:
        return EUR

    @first.compensate(retry=QUICK)
    async def undo_first(self, n: int, money: Money | None, ctx: Context) -> None: ...

    go = signal(str)

    @step(go, retry=QUICK, compensate=None)
    async def asks(self, n: int, go: str, ctx: Context) -> str:
        async with trio.open_nursery():
            return ctx.result(Kept.first).currency

    @step(first, retry=QUICK, after=[asks], compensate=None)
    async def takes(self, n: int, first: Money, ctx: Context) -> str:
        return first.currency

    stay = signal(str)


class Conditional(Saga[Money]):
    go = signal(str)

    @step(go, compensate=None, when=lambda money, ctx: True)
    async def one(self, money: Money, go: str, ctx: Context) -> None: ...
