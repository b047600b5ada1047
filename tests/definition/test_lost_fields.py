"""A value that is given with a field that its type does not have is refused; one that is read is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pytest
from sagakit.definition import Codec
from sagakit.errors import Unwritable

T = TypeVar("T")


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class GiftLine(Line):
    wish: str = ""


@dataclass
class PlainSubclass(Line):
    def doubled(self) -> int:
        return 2 * self.count


@dataclass
class SameShape:
    sku: str
    count: int = 1


@dataclass
class Order:
    lines: list[Line]
    by_name: dict[str, Line] = field(default_factory=dict)
    one: Line | None = None
    pair: tuple[Line, int] | None = None


@dataclass(frozen=True)
class Tag:
    name: str


@dataclass(frozen=True)
class ColoredTag(Tag):
    color: str = "red"


@dataclass(eq=False)
class Uncomparable:
    line: Line


@dataclass
class Page(Generic[T]):
    items: list[T]


class Card(msgspec.Struct, rename="camel", tag="card", omit_defaults=True):
    card_number: str
    holder_name: str = ""


class Cash(msgspec.Struct, tag="cash"):
    amount: int


class GoldCard(Card, tag="card"):
    points: int = 0


@attrs.define
class Box:
    size: int


class Address(TypedDict):
    street: str
    city: NotRequired[str]


@pytest.mark.parametrize(
    ("type", "value", "says", "path"),
    [
        (
            Line,
            {"sku": "a", "cuont": 2},
            "'cuont' is not a field of Line, and would be lost; did you mean 'count'",
            "$",
        ),
        (Line, {"sku": "a", "colour": 2}, "'colour' is not a field of Line, and would be lost: it has sku, count", "$"),
        (Order, {"lines": [{"sku": "a"}, {"sku": "b", "cuont": 2}]}, "'cuont' is not a field of Line", "$.lines[1]"),
        (Order, Order([{"sku": "b", "cuont": 2}]), "'cuont' is not a field of Line", "$.lines[0]"),  # type: ignore[list-item]
        (Order, Order([], {"a": GiftLine("b")}), "GiftLine has wish, which Line does not have", "$.by_name.a"),
        (Order, Order([], one=GiftLine("b")), "GiftLine has wish", "$.one"),
        (Order, Order([], pair=(GiftLine("b"), 1)), "GiftLine has wish", "$.pair[0]"),
        (Line, GiftLine("a"), "give a Line, or declare GiftLine", "$"),
        (Line, SameShape("a"), "it is a SameShape, and would come back as a Line: give a Line", "$"),
        (Order, Order([SameShape("a")]), "it is a SameShape", "$.lines[0]"),  # type: ignore[list-item]
        (list[Line], [Line("a"), SameShape("a")], "it is a SameShape", "$[1]"),
        (Line | None, SameShape("a"), "it is a SameShape", "$"),
        (Uncomparable, Uncomparable(GiftLine("a")), "GiftLine has wish", "$.line"),
        (Page[Line], Page([GiftLine("a")]), "GiftLine has wish", "$.items[0]"),
        (frozenset[Tag], {Tag("a"), ColoredTag("b")}, "ColoredTag has color", "$"),
        (Card, {"type": "card", "cardNumber": "1", "card_number": "2"}, "'card_number' is not a field of Card", "$"),
        (Card | Cash, GoldCard("1", points=2), "GoldCard has points", "$"),
        (Box, {"size": 1, "width": 2}, "'width' is not a field of Box", "$"),
        (Address, {"street": "a", "ctiy": "b"}, "'ctiy' is not a field of its TypedDict", "$"),
        (list[Address], [{"street": "a", "city": "b", "zip": "c"}], "'zip' is not a field", "$[0]"),
    ],
)
def test_a_field_that_would_be_lost_is_refused(type: Any, value: object, says: str, path: str) -> None:
    with pytest.raises(Unwritable) as error:
        Codec(type).encode(value)
    assert says in error.value.reason
    assert error.value.path == path


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (Line, {"sku": "a"}),
        (Line, {"count": 3, "sku": "a"}),
        (Line, PlainSubclass("a", 2)),
        (Order, {"lines": [{"sku": "a"}], "by_name": {"x": {"sku": "b"}}, "pair": [{"sku": "c"}, 1]}),
        (Uncomparable, Uncomparable(Line("a"))),
        (Page[Line], Page([Line("a")])),
        (frozenset[Tag], {Tag("a"), Tag("b"), Tag("c")}),
        (frozenset[Tag], [{"name": "a"}, {"name": "b"}]),
        (Card, Card("1")),
        (Card, {"type": "card", "cardNumber": "1", "holderName": ""}),
        (Card | Cash, {"type": "cash", "amount": 1}),
        (Box, Box(1)),
        (Address, {"street": "a"}),
        (Address, {"street": "a", "city": "b"}),
        (dict, {"any": {"thing": 1}}),
        (dict[str, Any], {"line": GiftLine("a"), "more": [SameShape("b")]}),
        (dict[UUID, Line], {"00000000-0000-0000-0000-00000000000A": {"sku": "a"}}),
        (dict[float, Line], {1: Line("a")}),
        (Any, GiftLine("a")),
        (object, None),
    ],
)
def test_what_loses_nothing_is_taken(type: Any, value: object) -> None:
    codec = Codec(Any if type is object else type)
    assert codec.decode(codec.encode(value)) is not ...


@pytest.mark.parametrize("type", [Line, Box, Address | Literal["none"]])
def test_what_a_newer_version_has_written_is_read(type: Any) -> None:
    Codec(type).decode(b'{"sku": "a", "street": "b", "size": 1, "new": [1]}')


def test_an_equality_that_fails_does_not_hinder() -> None:
    @dataclass
    class Odd:
        line: Any

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

    assert Codec(Odd).encode(Odd(1)) == b'{"line":1}'
