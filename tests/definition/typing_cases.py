"""Type checkers know the types of definitions. Never run: `make check` reads it.

Every `ignore` stands for a mistake that both checkers must find: an unneeded one is an error.
"""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportUnusedClass=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

from sagakit import (
    FOREVER,
    Completed,
    Context,
    Done,
    Failed,
    Handle,
    NotDone,
    Runtime,
    Saga,
    child,
    each,
    signal,
    step,
    timer,
)


@dataclass
class Order:
    number: int


@dataclass
class Held:
    ref: str


class Place(Saga[Order, str]):
    @step
    async def reserve(self, order: Order, ctx: Context) -> Held: ...

    @reserve.compensate
    async def release(self, order: Order, held: Held | None, ctx: Context) -> None: ...

    @step(reserve, on_unknown="check")
    async def charge(self, order: Order, held: Held, ctx: Context) -> int:
        assert_type(ctx.result(Place.reserve), Held)
        return 1

    @charge.check
    async def was_charged(self, order: Order, ctx: Context) -> Done[int] | NotDone | None: ...

    @charge.compensate
    async def refund(self, order: Order, charged: int, ctx: Context) -> None: ...

    @step(reserve, charge, pivot=True)
    def ship(self, order: Order, held: Held, charged: int, ctx: Context) -> bytes: ...

    @step(when=lambda order, ctx: order.number > 1 and ctx.result(Place.charge) > 1)
    async def maybe(self, order: Order, ctx: Context) -> str: ...

    def output(self, input: Order, ctx: Context) -> str:
        assert_type(ctx.result(Place.maybe), str | None)
        return ctx.result(Place.ship).decode()


async def use(runtime: Runtime) -> None:
    handle = await runtime.start(Place, "one", Order(1))
    assert_type(handle, Handle[str])
    match await handle.outcome():
        case Completed(output=output):
            assert_type(output, str)
        case Failed() as failed:
            assert_type(failed.compensated, tuple[str, ...])
    await runtime.start(Place, "one", "an order")  # type: ignore[misc]
    await runtime.start(Place, 1, Order(1))  # type: ignore[arg-type]


def wrong_dependency() -> None:
    class Wrong(Saga[Order]):
        @step(compensate=None)
        async def reserve(self, order: Order, ctx: Context) -> Held: ...

        @step(reserve, compensate=None)  # type: ignore[arg-type]
        async def charge(self, order: Order, held: int, ctx: Context) -> int: ...


def compensation_that_assumes_a_result() -> None:
    class Wrong(Saga[Order]):
        @step
        async def reserve(self, order: Order, ctx: Context) -> Held: ...

        @reserve.compensate  # type: ignore[arg-type]
        async def release(self, order: Order, held: Held, ctx: Context) -> None: ...


def check_of_another_type() -> None:
    class Wrong(Saga[Order]):
        @step(on_unknown="check", compensate=None)
        async def charge(self, order: Order, ctx: Context) -> int: ...

        @charge.check  # type: ignore[arg-type]
        async def was_charged(self, order: Order, ctx: Context) -> Done[str] | NotDone | None: ...


def unknown_policy() -> None:
    class Wrong(Saga[Order]):
        @step(on_unknown="hope", compensate=None)  # type: ignore[call-overload, untyped-decorator]
        async def charge(self, order: Order, ctx: Context) -> int: ...


# ---------------------------------------------------------- signals, timers, children, fan-out


class Ship(Saga[Order, int]):
    placed = child(Place, lambda order, ctx: Order(1))
    packed = signal(list[str])
    approved = signal(bool, timeout=timedelta(hours=1), on_timeout="continue")
    rest = timer(timedelta(days=1))

    @each(packed, lambda parcels: parcels, max_concurrent=2)
    async def label(self, order: Order, parcel: str, ctx: Context) -> Held: ...

    @label.compensate
    async def tear(self, order: Order, parcel: str, label: Held | None, ctx: Context) -> None: ...

    @step(label, placed, approved)
    async def send(self, order: Order, labels: Sequence[Held], placed: str, approved: bool | None, ctx: Context) -> int:
        assert_type(ctx.result(Ship.label), Sequence[Held])
        assert_type(ctx.result(Ship.placed), str)
        assert_type(ctx.result(Ship.approved), bool | None)
        assert_type(ctx.result(Ship.packed), list[str])
        return 1


async def sends(runtime: Runtime) -> None:
    await runtime.signal(Ship, "one", Ship.packed, ["a"])
    await runtime.signal(Ship, "one", Ship.approved, True)
    await runtime.signal(Ship, "one", Ship.approved, "yes")  # type: ignore[misc]
    await runtime.signal(Ship, "one", Ship.send, 1)  # type: ignore[arg-type]


def wrong_nodes() -> None:
    class A(Saga[Order, int]):
        placed = child(Place, lambda order, ctx: "no order")  # type: ignore[arg-type,return-value]
        packed = signal(list[str])

        @each(packed, lambda parcels: parcels)
        async def label(self, order: Order, parcel: str, ctx: Context) -> Held: ...

        @label.compensate  # type: ignore[arg-type]
        async def tear(self, order: Order, parcel: str, label: Held, ctx: Context) -> None: ...

    class B(Saga[Order, int]):
        packed = signal(list[str])

        @each(packed, lambda parcels: parcels)  # type: ignore[arg-type]
        async def label(self, order: Order, parcel: int, ctx: Context) -> Held: ...


# ------------------------------------------------------- conditions, unions, many dependencies


class Sometimes(Saga[Order, str | None]):
    placed = child(Place, lambda order, ctx: Order(1), when=lambda order, ctx: order.number > 1)
    packed = signal(list[str])
    noted = signal(str | None)

    @each(packed, when=lambda order, ctx: order.number > 1)
    async def label(self, order: Order, parcel: str, ctx: Context) -> Held: ...

    @label.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    def tear(self, order: Order, parcel: str, label: Held | None, ctx: Context) -> None: ...

    @each(packed, lambda parcels: parcels, compensate=None, when=lambda order, ctx: order.number > 1)
    def weigh(self, order: Order, parcel: str, ctx: Context) -> int: ...

    @each(lambda order, ctx: ["a", "b"], compensate=None)
    async def own(self, order: Order, parcel: str, ctx: Context) -> int: ...

    @each(lambda order, ctx: ["a", "b"], compensate=None, when=lambda order, ctx: True)
    async def own_sometimes(self, order: Order, parcel: str, ctx: Context) -> int: ...

    @each(packed)
    async def count(self, order: Order, parcel: str, ctx: Context) -> int: ...

    @count.compensate(retry=FOREVER)
    async def forget(self, order: Order, parcel: str, counted: int | None, ctx: Context) -> None: ...

    @step(placed, packed, label, weigh, count, on_unknown="check")
    async def send(
        self,
        order: Order,
        placed: str | None,
        packed: list[str],
        labels: Sequence[Held] | None,
        weights: Sequence[int] | None,
        counts: Sequence[int],
        ctx: Context,
    ) -> int: ...

    @send.compensate(retry=FOREVER)
    def unsend(self, order: Order, sent: int, ctx: Context) -> None: ...

    @step(placed, packed, label, weigh, count, compensate=None, when=lambda order, ctx: True)
    def tell(
        self,
        order: Order,
        placed: str | None,
        packed: list[str],
        labels: Sequence[Held] | None,
        weights: Sequence[int] | None,
        counts: Sequence[int],
        ctx: Context,
    ) -> int: ...

    def output(self, input: Order, ctx: Context) -> str | None:
        assert_type(ctx.result(Sometimes.label), Sequence[Held] | None)
        assert_type(ctx.result(Sometimes.weigh), Sequence[int] | None)
        assert_type(ctx.result(Sometimes.count), Sequence[int])
        assert_type(ctx.result(Sometimes.send), int)
        assert_type(ctx.result(Sometimes.tell), int | None)
        return ctx.result(Sometimes.placed)


async def sends_either(runtime: Runtime) -> None:
    await runtime.signal(Sometimes, "one", Sometimes.noted, None)
    await runtime.signal(Sometimes, "one", Sometimes.noted, "now")


def results_that_may_be_skipped() -> None:
    class Wrong(Saga[Order, str]):
        placed = child(Place, lambda order, ctx: Order(1), when=lambda order, ctx: order.number > 1)
        packed = signal(list[str])

        @each(packed, when=lambda order, ctx: order.number > 1)
        async def label(self, order: Order, parcel: str, ctx: Context) -> Held: ...

        @label.compensate(retry=FOREVER)  # type: ignore[arg-type]
        def tear(self, order: Order, parcel: str, label: Held, ctx: Context) -> None: ...

        @step(label, compensate=None)  # type: ignore[arg-type]
        async def send(self, order: Order, labels: Sequence[Held], ctx: Context) -> int: ...

        def output(self, input: Order, ctx: Context) -> str:
            return ctx.result(Wrong.placed)  # type: ignore[return-value]
