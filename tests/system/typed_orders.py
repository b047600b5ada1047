"""Orders whose classes may change: one type at each place that a schema has."""

# mypy: disable-error-code="empty-body, valid-type"
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sagakit import Context, Saga, child, each, signal, step


def record_type(name: str, *fields: Any) -> Any:
    """Return a class with this name and these fields. A plan knows a type by its name alone."""
    return msgspec.defstruct(name, [("ref", str), *fields])


def order(changed: Mapping[str, Any] = {}, *, version: int = 1) -> Saga[Any, Any]:
    """Return a saga with one value of each kind. `changed` adds fields to the class at a place."""

    def of(name: str, place: str) -> Any:
        return record_type(name, *changed.get(place, ()))

    Cart, Receipt, Hold, Line, Approval = (
        of(name, place)
        for name, place in (
            ("Cart", "input"),
            ("Receipt", "output"),
            ("Hold", "step"),
            ("Line", "item"),
            ("Approval", "signal"),
        )
    )
    Gift, Thanks = of("Gift", "child_input"), of("Thanks", "child_output")

    class Kid(Saga[Gift, Thanks]):
        @step(compensate=None)
        async def only(self, gift: Gift, ctx: Context) -> None: ...

        def output(self, input: Gift, ctx: Context) -> Thanks: ...

    class Order(Saga[Cart, Receipt], version=version):
        @step(compensate=None)
        async def reserve(self, cart: Cart, ctx: Context) -> Hold: ...

        @each(reserve, lambda hold: [], compensate=None)
        async def pack(self, cart: Cart, line: Line, ctx: Context) -> None: ...

        approved = signal(Approval)
        kid = child(Kid, lambda cart, ctx: Gift("g"))

        def output(self, input: Cart, ctx: Context) -> Receipt: ...

    return Order()


PLACES = {
    "input": "input",
    "output": "output",
    "step": "steps.reserve",
    "item": "items.pack[]",
    "signal": "signals.approved",
    "child_input": "children.kid.input",
    "child_output": "children.kid.output",
}
NEW, OPTIONAL = ("currency", str), ("currency", str, "EUR")
