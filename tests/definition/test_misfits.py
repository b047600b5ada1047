"""Tests of refusals that name the Python type that was given: JSON has a text in the place of a Decimal."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sagakit.definition.value_codec import Codec
from sagakit.errors import Unwritable


class Line(msgspec.Struct):
    price: float


class Order(msgspec.Struct):
    lines: list[Line]
    taxes: dict[str, float] = {}


NO_PRICE: Any = Decimal(2)
ID: Any = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("type", "value", "says"),
    [
        (float, NO_PRICE, "got `Decimal`, which is kept as `str`"),
        (Order, Order([Line(1.0), Line(NO_PRICE)]), "got `Decimal`, which is kept as `str` - at `$.lines[1].price`"),
        (Order, {"lines": [{"price": ID}]}, "got `UUID`, which is kept as `str` - at `$.lines[0].price`"),
        (Order, Order([], {"vat": NO_PRICE}), "got `str` - at `$.taxes[...]`"),
        (int, "5", "Expected `int`, got `str`"),
        (float, None, "got `null`"),
    ],
)
def test_a_refusal_names_the_type_that_was_given(type: Any, value: object, says: str) -> None:
    with pytest.raises(Unwritable) as caught:
        Codec(type).encode(value)
    assert str(caught.value).endswith(says)
