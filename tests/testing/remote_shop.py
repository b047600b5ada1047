"""Sagas whose steps other services do, with books that an invariant can read."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

import msgspec
from sagakit import Context, Done, NotDone, RetryPolicy, Saga, remote, step
from sagakit.participant import CommandContext, Service
from sagakit.testing import Trace

FEW = RetryPolicy(max_attempts=2, initial_interval=timedelta(seconds=1))


class Weight(msgspec.Struct):
    """A weight that can be read until its type has changed."""

    changed: ClassVar[bool] = False
    grams: int

    def __post_init__(self) -> None:
        if self.changed:
            raise ValueError("a weight has a unit now")


class Buy(Saga[int, str]):
    """A saga that charges, then sends."""

    def __init__(self) -> None:
        self.charged: set[str] = set()
        self.sent: set[str] = set()

    charge = remote(
        "payments.charge", str, send=lambda total, ctx: total, compensate="payments.refund", retry=FEW, undo_retry=FEW
    )
    ship = remote(
        "shipping.ship", str, send=lambda total, ctx: ctx.result(Buy.charge), compensate="shipping.recall",
        check="shipping.shipped", on_unknown="check", retry=FEW, undo_retry=FEW, after=[charge],
        heartbeat_timeout=timedelta(seconds=5),
    )  # fmt: skip

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Buy.ship)


class Ask(Saga[int]):
    """A saga that asks a person whether its one step has happened."""

    charge = remote(
        "payments.charge", str, send=lambda total, ctx: total, compensate="payments.refund", on_unknown="ask"
    )


class Misread(Saga[int]):
    """A saga that is halted while its remote step is under way: a deployment has changed the type of a weight."""

    def __init__(self) -> None:
        Weight.changed = False

    ship = remote(
        "shipping.ship", str, send=lambda total, ctx: str(total), compensate="shipping.recall",
        check="shipping.shipped", on_unknown="check",
    )  # fmt: skip

    @step(after=(), compensate=None)
    async def weigh(self, total: int, ctx: Context) -> Weight:
        return Weight(total)

    @step(after=[weigh], compensate=None)
    async def deploy(self, total: int, ctx: Context) -> None:
        Weight.changed = True

    @step(weigh, after=[deploy], compensate=None)
    async def pack(self, total: int, weight: Weight, ctx: Context) -> None:
        raise AssertionError("it cannot be called")


def services(saga: Buy) -> list[Service]:
    """Return the services, which write into the saga's books."""
    payments, shipping = Service("payments"), Service("shipping")

    @payments.endpoint("charge")
    async def charge(total: int, ctx: CommandContext) -> str:
        assert ctx.key not in saga.charged, "charged twice"
        saga.charged.add(ctx.key)
        return f"paid {total}"

    @charge.undo("refund")
    async def refund(total: int, paid: str | None, ctx: CommandContext) -> None:
        saga.charged.discard(ctx.key)

    @shipping.endpoint("ship")
    async def ship(paid: str, ctx: CommandContext) -> str:
        saga.sent.add(ctx.key)
        return "sent"

    @ship.undo("recall")
    async def recall(paid: str, sent: str | None, ctx: CommandContext) -> None:
        saga.sent.discard(ctx.key)

    @ship.check("shipped")
    async def shipped(paid: str, ctx: CommandContext) -> Done[str] | NotDone | None:
        return Done("sent") if ctx.key in saga.sent else NotDone()

    return [payments, shipping]


def books_balance(saga: Buy, trace: Trace) -> None:
    """Raise AssertionError unless each service has done its part once, and only in a saga that completed."""
    if trace.record is None or trace.stuck:
        return
    wanted = int(trace.record.status == "completed")
    if (len(saga.charged), len(saga.sent)) != (wanted, wanted):
        raise AssertionError(f"charged {saga.charged}, sent {saga.sent}")
