"""What comes out of a record is what went in, or it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import Any

import msgspec
import pytest
from sagakit import Ctx, Saga, step
from sagakit.definition import compiled
from sagakit.definition.model import Codec
from sagakit.errors import InvalidInput


@dataclass
class Price:
    amount: float
    before: float | None = None


class Tree(msgspec.Struct):
    weight: float | None = None
    leaves: list[Tree] = []


@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize(
    ("type", "make"),
    [
        (float, lambda bad: bad),
        (float | None, lambda bad: bad),
        (Any, lambda bad: {"a": [1, (bad,)]}),
        (dict[str, float | None], lambda bad: {"a": None, "b": bad}),
        (list[Price], lambda bad: [Price(1.0), Price(1.0, bad)]),
        (Price, Price),
        (Tree, lambda bad: Tree(1.0, [Tree(), Tree(2.0, [Tree(bad)])])),
        (dict[int, tuple[float | None, ...]], lambda bad: {1: (1.0, bad)}),
    ],
)
def test_what_is_not_finite_is_refused(type: Any, make: Any, bad: float) -> None:
    with pytest.raises(
        ValueError, match=f"{bad} is no JSON number, and would be kept as null: say None or text instead"
    ):
        Codec(type).encode(make(bad))


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (float | None, None),
        (Price, Price(1.0)),
        (list[Price], [Price(1e308, 5e-324)]),
        (Tree, Tree(None, [Tree(1.5)])),
        (dict[str, float | None], {"null": 1.0}),
        (dict[float, int | None], {0.5: None}),
        (bytes | float | None, 2.0),
        (Any, {"a": [None, "null", 1.5]}),
        (Any, {"1": None, "2": [1.5, None]}),
    ],
)
def test_what_is_finite_comes_back(type: Any, value: object) -> None:
    codec = Codec(type)
    assert codec.decode(codec.encode(value)) == value


def test_raw_json_is_left_alone() -> None:
    assert Codec(Any).encode({"a": msgspec.Raw(b"1.5"), "b": None}) == b'{"a":1.5,"b":null}'


def test_an_input_that_is_not_finite_is_the_callers_mistake() -> None:
    class Quote(Saga[Price]):
        @step(compensate=None)
        async def ask(self, price: Price, ctx: Ctx) -> None: ...

    with pytest.raises(InvalidInput, match=r"Quote: not an input of type .*Price: nan is no JSON number"):
        compiled(Quote).encode_input(Price(1.0, nan))
