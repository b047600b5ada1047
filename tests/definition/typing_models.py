"""Type checkers know sagas whose types come from pydantic, attrs and others. Never run: `make check` reads it.

Every `ignore` stands for a mistake that both checkers must find: an unneeded one is an error.
"""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportUnusedClass=false, reportUnusedFunction=false

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, TypedDict, assert_type

import attrs
import pydantic
from sagakit import Completed, Context, Handle, OldSaga, Runtime, Saga, child, each, signal, step


class Line(pydantic.BaseModel):
    sku: str
    count: int = pydantic.Field(default=1, gt=0)


class Order(pydantic.BaseModel):
    id: str
    lines: list[Line]


class Card(pydantic.BaseModel):
    kind: Literal["card"] = "card"


class Cash(pydantic.BaseModel):
    kind: Literal["cash"] = "cash"


@attrs.define
class Held:
    ref: str


class Label(NamedTuple):
    tracking: str


class Address(TypedDict):
    street: str


class Size(enum.Enum):
    SMALL = "s"


class Deliver(Saga[Address, Label]):
    @step(compensate=None)
    async def send(self, address: Address, ctx: Context) -> Size: ...

    def output(self, input: Address, ctx: Context) -> Label:
        assert_type(ctx.result(Deliver.send), Size)
        return Label("a")


class Place(Saga[Order, Held]):
    packed = signal(Line)

    @step(compensate=None)
    async def reserve(self, order: Order, ctx: Context) -> Held: ...

    @step(reserve)
    async def pay(self, order: Order, held: Held, ctx: Context) -> Card | Cash: ...

    @pay.compensate
    async def refund(self, order: Order, paid: Card | Cash | None, ctx: Context) -> None: ...

    @each(lambda order, ctx: lines_of(order), compensate=None)
    async def label(self, order: Order, line: Line, ctx: Context) -> Annotated[int, pydantic.Field(gt=0)]: ...

    delivery = child(Deliver, lambda order, ctx: Address(street="a"))

    def output(self, input: Order, ctx: Context) -> Held:
        assert_type(ctx.result(Place.packed), Line)
        assert_type(ctx.result(Place.pay), Card | Cash)
        assert_type(ctx.result(Place.label), Sequence[int])
        assert_type(ctx.result(Place.delivery), Label)
        return ctx.result(Place.reserve)

    def migrate(self, old: OldSaga) -> None: ...


def lines_of(order: Order) -> Sequence[Line]:
    return order.lines


async def start(runtime: Runtime, order: Order, line: Line) -> None:
    handle = await runtime.start(Place, order.id, order)
    assert_type(handle, Handle[Held])
    match await handle.outcome():
        case Completed(output=held):
            assert_type(held, Held)
        case failed:
            assert_type(failed.step, str | None)
    await runtime.signal(Place, order.id, Place.packed, line)
    await runtime.signal(Place, order.id, Place.packed, order)  # type: ignore[misc]
    await runtime.start(Place, order.id, line)  # type: ignore[misc]


class WrongInput(Saga[Order]):
    @step(compensate=None)
    async def reserve(self, order: Order, ctx: Context) -> Held: ...

    @step(reserve, compensate=None)  # type: ignore[arg-type]
    async def pay(self, order: Order, held: Line, ctx: Context) -> None: ...
