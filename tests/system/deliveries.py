"""Sagas of a delivery, with every kind of node: steps, signals, items, a child and timers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import trio
from sagakit import Context, Reject, RetryPolicy, Saga, child, each, signal, step, timer
from sagakit.store.memory_server import MemoryServer

from tests.system.members import member, until_ended

QUICK = RetryPolicy(
    max_attempts=2, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
DAY = 86400.0
CALM = {"lease_ttl": 3600.0, "scan_interval": 36000.0}
"""Options that let virtual months pass quickly."""


class Order(msgspec.Struct, frozen=True):
    parcels: int = 3
    refuse: str = ""
    hang: str = ""


class Packed(msgspec.Struct, frozen=True):
    parcels: list[int]


class Insure(Saga[Order, str]):
    """The child: two steps, both undone when its parent is."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @step(retry=QUICK)
    async def quote(self, order: Order, ctx: Context) -> int:
        self.log.append("quote")
        return 7

    @quote.compensate
    async def unquote(self, order: Order, price: int | None, ctx: Context) -> None:
        self.log.append("unquote")

    @step(quote, retry=QUICK, timeout=timedelta(days=1))
    async def buy(self, order: Order, price: int, ctx: Context) -> str:
        self.log.append("buy")
        if order.refuse == "buy":
            raise Reject("uninsurable", parcels=order.parcels)
        if order.hang == "buy":
            await trio.sleep(3600)
        return f"policy-{price}"

    @buy.compensate
    async def give_back(self, order: Order, policy: str | None, ctx: Context) -> None:
        self.log.append("give_back")

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Insure.buy)


class Deliver(Saga[Order, str]):
    """Reserve, wait to be packed, label each parcel, insure, wait a day, send."""

    keys: ClassVar[set[str]] = set()

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.running = self.most = 0

    @step(retry=QUICK)
    async def reserve(self, order: Order, ctx: Context) -> str:
        self.log.append("reserve")
        return "held"

    @reserve.compensate
    async def release(self, order: Order, held: str | None, ctx: Context) -> None:
        self.log.append("release")

    packed = signal(Packed, timeout=timedelta(hours=4))

    @each(packed, lambda packed: packed.parcels, max_concurrent=2, retry=QUICK)
    async def label(self, order: Order, parcel: int, ctx: Context) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.keys.add(ctx.key)
        await trio.sleep(1)
        self.running -= 1
        self.log.append(f"label {parcel}")
        if order.refuse == f"label {parcel}":
            raise Reject("too_heavy")
        return f"L{parcel}"

    @label.compensate
    async def void(self, order: Order, parcel: int, label: str | None, ctx: Context) -> None:
        self.log.append(f"void {parcel} {label}")
        assert ctx.action_key in self.keys

    insured = child(Insure, lambda order, ctx: order)
    cooled = timer(timedelta(days=1))

    @step(label, insured, after=[cooled], retry=QUICK)
    async def send(self, order: Order, labels: Sequence[str], policy: str, ctx: Context) -> str:
        self.log.append("send")
        if order.refuse == "send":
            raise Reject("strike")
        return f"{'+'.join(labels)} under {policy}"

    @send.compensate
    async def recall(self, order: Order, sent: str | None, ctx: Context) -> None: ...

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Deliver.send)


def child_of(server: MemoryServer) -> str:
    return next(key for key in (entry.key for entry in server.bucket("SAGA_STATE").entries("Insure")))


async def deliver(order: Order, *, server: MemoryServer | None = None) -> tuple[list[str], Any]:
    log: list[str] = []
    server = server or MemoryServer()
    async with member(server, Deliver(log), Insure(log), **CALM) as running:
        handle = await running.runtime.start(Deliver, "one", order)
        await trio.sleep(60)
        await running.runtime.signal(Deliver, "one", Deliver.packed, Packed(list(range(order.parcels))))
        with trio.fail_after(3 * DAY):
            outcome = await handle.outcome()
        await running.retired()
        await until_ended(server, child_of(server))
    return log, outcome


class Confirm(Saga[str, str]):
    """Two signals: the first has a timeout, the second must come."""

    first = signal(str, timeout=timedelta(hours=1), on_timeout="continue")
    second = signal(int)

    @step(first, second, compensate=None)
    async def note(self, input: str, first: str | None, second: int, ctx: Context) -> str:
        return f"{first} {second}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Confirm.note)


class Remind(Saga[float]):
    """A saga that waits until the time in its input."""

    until = timer(lambda at, ctx: datetime.fromtimestamp(at, UTC))

    @step(compensate=None)
    async def remind(self, at: float, ctx: Context) -> None: ...
