"""Remote steps over a real server: a worker here, participants beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import trio
from sagakit import Completed, Context, Failed, RetryPolicy, Saga, open_runtime, remote
from sagakit.participant import CommandContext, MemoryKeys, Reject, Service, open_participant

from tests.servers import Server


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


async def test_sagas_run_through_two_services_and_are_undone_there(server: Server, namespace: str) -> None:
    books = Books()
    async with (
        open_runtime(server.url, sagas=[Buy()], namespace=namespace) as runtime,
        open_participant(server.url, payments(books), keys=MemoryKeys(), namespace=namespace),
        open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace),
    ):
        with trio.fail_after(60):
            assert await runtime.execute(Buy, "1", Order(30)) == Completed("r30 sent")
            outcome = await runtime.execute(Buy, "2", Order(200))
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.compensated) == ("too_heavy", ("charge",))
    assert (books.charged, books.refunded) == ([30, 200], ["r200"])
