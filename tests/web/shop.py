"""The sagas of a small shop, for pictures of the console: some orders wait, some fail, some get stuck."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import anyio
import msgspec
from sagakit import Client, Context, Reject, RetryPolicy, Saga, child, each, signal, step
from sagakit.engine import InboundKind
from sagakit.engine.record import NOTHING

ORDERS = 240
"""Orders that are placed."""
DEAR = 4800
"""The total from which an order has to be approved."""
TWICE = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=20))
ENDLESS = timedelta(hours=4)


class Line(msgspec.Struct, frozen=True):
    """A line of an order."""

    sku: str
    quantity: int


class Order(msgspec.Struct, frozen=True):
    """An order. Its number decides what goes wrong with it."""

    number: int
    customer: str
    total: int
    lines: list[Line]
    gift: bool = False


class InsureParcel(Saga[Order, str]):
    """Insure the parcels of an order."""

    @step
    async def sign(self, order: Order, ctx: Context) -> str:
        return f"policy {order.number}"

    @sign.compensate
    async def resign(self, order: Order, policy: str | None, ctx: Context) -> None: ...

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(InsureParcel.sign)


class PlaceOrder(Saga[Order, str]):
    """Reserve, charge and insure, label each line, hand over to the courier, tell the customer."""

    courier_is_down = True

    @step(retry=TWICE)
    async def reserve(self, order: Order, ctx: Context) -> str:
        return f"shelf {order.number % 17}"

    @reserve.compensate(retry=TWICE)
    async def release(self, order: Order, shelf: str | None, ctx: Context) -> None: ...

    @step(reserve, retry=TWICE)
    async def charge(self, order: Order, shelf: str, ctx: Context) -> str:
        if order.number % 12 == 5:
            raise Reject("card declined", bank="north")
        return f"receipt {order.number}"

    @charge.compensate(retry=TWICE)
    async def refund(self, order: Order, receipt: str | None, ctx: Context) -> None:
        if order.number % 60 == 20:
            raise ConnectionError("the bank has closed this account")

    approved = signal(str, after=[reserve], when=lambda order, ctx: order.total >= DEAR, timeout=ENDLESS)
    insured = child(InsureParcel, lambda order, ctx: order, after=[reserve])

    @each(lambda order, ctx: order.lines, max_concurrent=4, after=[charge, approved, insured], retry=TWICE)
    async def label(self, order: Order, line: Line, ctx: Context) -> str:
        if order.number % 60 == 20:
            raise Reject("no such address")
        return f"label for {line.quantity} {line.sku}"

    @label.compensate(retry=TWICE)
    async def tear_off(self, order: Order, line: Line, label: str | None, ctx: Context) -> None: ...

    @step(label, pivot=True, retry=TWICE)
    async def ship(self, order: Order, labels: Sequence[str], ctx: Context) -> str:
        if order.number % 29 == 3 and type(self).courier_is_down:
            raise RuntimeError(f"courier: 503 Service Unavailable, request {order.number * 7919}")
        return f"tracking {order.number * 7919}"

    @step(ship, retry=TWICE)
    async def confirm(self, order: Order, tracking: str, ctx: Context) -> None:
        if order.number % 80 == 11:
            raise TimeoutError("the mail server does not answer")

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(PlaceOrder.ship)


ACTS: tuple[tuple[int, InboundKind, str, msgspec.Raw, str, str], ...] = (
    (194, "compensate", "", NOTHING, "ben", "the customer has changed their mind"),
    (11, "retry", "", NOTHING, "ben", "is the mail server back?"),
    (206, "complete-step", "ship", msgspec.Raw(b'"tracking 1631314"'), "ann", "handed over at the courier's desk"),
    (200, "terminate", "", NOTHING, "ann", "the account is closed: paid back by bank transfer"),
)
"""The acts of operators: the number of the order, the verb, step and result, who, and why."""


def order(number: int) -> Order:
    """Return the order with a number."""
    names = ("lamp", "vase", "chair", "rug")
    lines = [Line(names[(number + at) % 4], 1 + at) for at in range(1 + number % 3)]
    return Order(number, f"customer-{number % 37}", 40 + 25 * (number % 200), lines, gift=number % 9 == 0)


async def open_shop(client: Client) -> None:
    """Place the orders, and wait until each of them has ended or waits for somebody."""
    limit = anyio.CapacityLimiter(20)
    async with anyio.create_task_group() as tasks:
        for number in range(1, ORDERS + 1):
            tasks.start_soon(partial(_place, client, order(number), limit))
    for number, verb, on, result, by, why in ACTS:
        key = f"PlaceOrder.order-{number}"
        await client.apply(key, verb, step=on, payload=result, by=by, reason=why)
        await client.ended(key, or_stuck=True)


async def _place(client: Client, order: Order, limit: anyio.CapacityLimiter) -> None:
    async with limit:
        wait = "step:reserve" if order.total >= DEAR else "durable"
        handle = await client.start(
            PlaceOrder, f"order-{order.number}", order, attributes={"channel": "web"}, wait=wait
        )
        if wait == "durable":
            await handle.wait(or_stuck=True)
