"""A saga whose steps two services do, and the two services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sagakit import Context, RetryPolicy, Saga, remote
from sagakit.participant import CommandContext, Reject, Service


@dataclass
class Order:
    total: int


@dataclass
class Receipt:
    number: str


class Buy(Saga[Order, str]):
    charge = remote(
        "payments.charge", Receipt, send=lambda order, ctx: {"total": order.total}, compensate="payments.refund"
    )
    ship = remote(
        "shipping.ship", str, send=lambda order, ctx: {"total": order.total}, compensate=None, after=[charge],
        retry=RetryPolicy(max_attempts=2, initial_interval=timedelta(seconds=0.1)),
    )  # fmt: skip

    def output(self, input: Order, ctx: Context) -> str:
        return f"{ctx.result(Buy.charge).number} {ctx.result(Buy.ship)}"


class Books:
    def __init__(self) -> None:
        self.charged: list[int] = []
        self.refunded: list[str] = []


def payments(books: Books) -> Service:
    service = Service("payments")

    @service.endpoint("charge")
    async def charge(order: Order, ctx: CommandContext) -> Receipt:
        books.charged.append(order.total)
        return Receipt(f"r{order.total}")

    @charge.undo("refund")
    async def refund(order: Order, receipt: Receipt, ctx: CommandContext) -> None:
        books.refunded.append(receipt.number)

    return service


def shipping() -> Service:
    service = Service("shipping")

    @service.endpoint("ship")
    async def ship(order: Order, ctx: CommandContext) -> str:
        if order.total > 100:
            raise Reject("too_heavy", total=order.total)
        return "sent"

    return service


sagas = [Buy()]
