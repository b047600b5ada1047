"""Sagas with every kind of node and with types of every kind, and commands for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import msgspec
import pydantic
from sagakit import Command, Context, Done, NotDone, Saga, child, each, remote, signal, step, timer


@dataclass
class Line:
    sku: str
    items: int = 1


@dataclass
class Order:
    order_id: str
    lines: list[Line] = field(default_factory=list)
    place: tuple[float, float] | None = None


class Cash(msgspec.Struct, tag=True):
    cents: int


class Card(msgspec.Struct, tag=True):
    number: str


class Paper(pydantic.BaseModel):
    kind: Literal["paper"]


class Foil(pydantic.BaseModel):
    kind: Literal["foil"]


class Wrapping(pydantic.BaseModel):
    how: Paper | Foil = pydantic.Field(discriminator="kind")


@dataclass
class Charge:
    total: int


@dataclass
class Receipt:
    ref: str


class Wrap(Saga[Wrapping, None]):
    @step(compensate=None)
    async def wrap(self, wrapping: Wrapping, ctx: Context) -> None: ...


def charge_of(order: Order, ctx: Context) -> Charge:
    return Charge(len(order.lines))


class PlaceOrder(Saga[Order, Receipt]):
    @step(on_unknown="check")
    async def reserve(self, order: Order, ctx: Context) -> Line:
        raise NotImplementedError

    @reserve.check
    async def reserved(self, order: Order, ctx: Context) -> Done[Line] | NotDone:
        raise NotImplementedError

    @reserve.compensate
    async def release(self, order: Order, line: Line | None, ctx: Context) -> None: ...

    @each(lambda order, ctx: order.lines, after=[reserve], compensate=None)
    async def pick(self, order: Order, line: Line, ctx: Context) -> int:
        raise NotImplementedError

    wrap = child(Wrap, lambda order, ctx: Wrapping(how=Paper(kind="paper")), after=[pick])
    paid = signal(Cash | Card, after=[wrap])
    pause = timer(timedelta(seconds=1), after=[paid])
    charge = remote(
        "payments.charge",
        Receipt,
        send=charge_of,
        compensate="payments.refund",
        check="payments.charged",
        on_unknown="check",
        after=[pause],
    )

    def output(self, input: Order, ctx: Context) -> Receipt:
        return ctx.result(PlaceOrder.charge)


class NextOrder(Saga[Line, None], name="PlaceOrder", version=2):
    """The same saga type in another version, which is the higher one."""

    @step(compensate=None)
    async def reserve(self, line: Line, ctx: Context) -> None: ...


commands = [
    Command("orders.place", PlaceOrder, id="order_id", start="all"),
    Command("orders.*.paid", PlaceOrder, id="order.id", input="order.payment", signal=PlaceOrder.paid, start="all"),
    Command("orders.withdrawn.>", PlaceOrder, id=lambda command: command.id, cancel=True, start="all"),
    Command("wrap", Wrap, id=lambda command: command.id, input=lambda command: command.data, start="all"),
]
