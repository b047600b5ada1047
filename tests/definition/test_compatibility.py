"""Can what was written under one schema be read under another? Judged by msgspec, which reads it or does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct
from sagakit.definition import Codec
from sagakit.definition.compatibility import accepts, readable
from sagakit.definition.json_schema import json_schema

from tests.definition.generated import changed, made, specs


def known(spec: Any) -> tuple[Any, st.SearchStrategy[Any], Codec]:
    """The type, its values, its codec; another example, if no saga could keep it."""
    try:
        type, values = made(spec)
        return type, values, Codec(type)
    except TypeError:
        assume(False)
        raise


def encoded(codec: Codec, value: object) -> bytes:
    """As a saga keeps it."""
    try:
        return codec.encode(value)
    except (ValueError, TypeError, msgspec.ValidationError):  # of a union, and another member reads it
        assume(False)
        raise


@settings(max_examples=700)
@given(spec=specs(), data=st.data())
def test_what_is_called_readable_can_be_read(spec: Any, data: st.DataObject) -> None:
    other = data.draw(changed(spec), "changed")
    if data.draw(st.booleans(), "the other way round"):
        spec, other = other, spec
    writer, values, codec = known(spec)
    reader, _, reads = known(other)
    found = readable(json_schema(writer), json_schema(reader))
    event("readable" if not found else "not readable")
    for _ in range(5) if not found else ():
        data_in = encoded(codec, data.draw(values, "value"))
        reads.decode(data_in)


@settings(max_examples=200)
@given(spec=specs())
def test_a_type_can_read_itself(spec: Any) -> None:
    type, _, _ = known(spec)
    schema = json_schema(type)
    assert readable(schema, schema) == []
    assert readable(schema, json_schema(Any)) == []


@settings(max_examples=200)
@given(spec=specs(), data=st.data())
def test_a_schema_accepts_the_values_of_its_type(spec: Any, data: st.DataObject) -> None:
    type, values, codec = known(spec)
    value = encoded(codec, data.draw(values, "value"))
    assert accepts(json_schema(type), msgspec.json.decode(value))


# ---------------------------------------------------------------- one by one


class Held(Struct):
    ref: str


class HeldSince(Struct):
    ref: str
    since: str


class HeldPerhapsSince(Struct):
    ref: str
    since: str = ""


class HeldOnly(Struct, forbid_unknown_fields=True):
    ref: str


class HeldAs(Struct, rename="upper"):
    ref: str


@dataclass
class Line:
    sku: str
    pieces: int = 1


@dataclass
class Order:
    lines: list[Line] = field(default_factory=list)


@dataclass
class PricedLine:
    sku: str
    pieces: int | None = 1
    price: float = 0.0


@dataclass
class PricedOrder:
    lines: list[PricedLine] = field(default_factory=list)


class Card(Struct, tag=True):
    number: str


class Cash(Struct, tag=True):
    amount: int


class Bill(Struct, tag="Cash"):
    amount: int


class Coins(Struct, tag=True):
    amount: int


class Pair(NamedTuple):
    a: int
    b: int


class Triple(NamedTuple):
    a: int
    b: int
    c: int = 0


class Row(Struct, array_like=True):
    a: int


class LongRow(Struct, array_like=True):
    a: int
    b: int = 0


class Partly(TypedDict, total=False):
    a: int


class Wholly(TypedDict):
    a: int


class Node(Struct):
    value: int
    left: Node | None = None
    right: Node | None = None


class Leafy(Struct):
    value: float
    left: Leafy | None = None
    right: Leafy | None = None


class Texts(Struct):
    value: str
    left: Texts | None = None
    right: Texts | None = None


READABLE: list[tuple[Any, Any]] = [
    (Held, HeldPerhapsSince),  # filled with the default
    (HeldSince, Held),  # ignored
    (HeldPerhapsSince, HeldPerhapsSince),
    (HeldOnly, Held),
    (Order, PricedOrder),
    (Card, Card | Cash),
    (Cash, Bill),
    (Held, dict[str, str]),
    (dict[str, int], dict[str, float]),
    (dict[int, str], dict[str, str]),
    (dict[Literal["a"], int], dict[str, int]),
    (int, float),
    (int, int | None),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (Literal[1, "a"], int | str),
    (date, str),
    (Literal["2026-07-27"], date),
    (list[int], set[int]),
    (tuple[int, int], list[int]),
    (tuple[int, int], Pair),
    (Pair, Triple),
    (LongRow, Row),
    (Row, LongRow),
    (Wholly, Partly),
    (Annotated[int, Meta(ge=1)], Annotated[int, Meta(gt=0)]),
    (Annotated[int, Meta(multiple_of=6)], Annotated[int, Meta(multiple_of=3)]),
    (Annotated[str, Meta(min_length=2)], Annotated[str, Meta(min_length=1)]),
    (Annotated[str, Meta(pattern="^a")], Annotated[str, Meta(pattern="^[ab]")]),  # undecided
    (Literal["ab"], Annotated[str, Meta(pattern="^a", max_length=2)]),
    (Annotated[datetime, Meta(tz=True)], datetime),
    (Node, Leafy),
    (Any, Any),
]


@pytest.mark.parametrize(("writer", "reader"), READABLE)
def test_readable(writer: Any, reader: Any) -> None:
    assert readable(json_schema(writer), json_schema(reader)) == []


UNREADABLE: list[tuple[Any, Any, str, str]] = [
    (
        Held,
        HeldSince,
        "$.since",
        "it is required, and is missing in what is written as {ref: string} and read as {ref: string, since: string}",
    ),
    (
        HeldPerhapsSince,
        HeldSince,
        "$.since",
        "it is required, and may be missing in what is written as {ref: string, since?: string} and read as "
        "{ref: string, since: string}",
    ),
    (HeldSince, HeldOnly, "$.since", "it is written as string, and no such field may be there"),
    (Held, HeldAs, "$.REF", "it is required, and is missing in what is written as {ref: string} and read as"),
    (PricedOrder, Order, "$.lines[].pieces", "it is written as null and read as integer"),
    (Card | Cash, Card, "$.number", "it is required"),
    (Cash, Coins, "$.type", 'it is written as "Cash" and read as "Coins"'),
    (dict[str, str], Held, "$.ref", "it is required, and may be missing in what is written as dict of string"),
    (dict[str, str], dict[str, int], "$[]", "it is written as string and read as integer"),
    (dict[str, int], dict[int, int], "$", "it is written as string and read as string (pattern"),
    (float, int, "$", "it is written as number and read as integer"),
    (bool, int, "$", "it is written as boolean and read as integer"),
    (int | None, int, "$", "it is written as null and read as integer"),
    (Any, str, "$", "it is written as anything and read as string"),
    (str, Literal["a", "b"], "$", 'it is written as string and read as "a" | "b"'),
    (Literal["a", "b"], Literal["a"], "$", 'it is written as "b" and read as "a"'),
    (Literal[1], Literal[True], "$", "it is written as 1 and read as true"),
    (str, date, "$", "it is written as string and read as date"),
    (str, datetime, "$", "it is written as string and read as date-time | date-time-local"),
    (datetime, Annotated[datetime, Meta(tz=True)], "$", "it is written as date-time-local and read as date-time"),
    (Literal["tomorrow"], date, "$", 'it is written as "tomorrow" and read as date'),
    (str, bytes, "$", "it is written as string and read as base64"),
    (list[int], tuple[int, int], "$", "it is written as list of integer and read as [integer, integer]"),
    (tuple[int, str], list[int], "$[1]", "it is written as string and read as integer"),
    (Triple, Pair, "$", "it is written as [integer, integer, integer] and read as [integer, integer]"),
    (Row, Pair, "$", "it is written as [integer] and read as [integer, integer]"),
    (list[int], Annotated[set[int], Meta(min_length=2)], "$", "(minItems 2)"),
    (
        Annotated[list[int], Meta(min_length=2)],
        Annotated[set[int], Meta(min_length=2)],
        "$",
        "it is written as list of integer (minItems 2)",
    ),
    (Partly, Wholly, "$.a", "it is required, and may be missing"),
    (int, Annotated[int, Meta(ge=1)], "$", "it is written as integer and read as integer (minimum 1)"),
    (Annotated[float, Meta(ge=1)], Annotated[float, Meta(gt=1)], "$", "number (minimum 1)"),
    (Annotated[int, Meta(multiple_of=3)], Annotated[int, Meta(multiple_of=6)], "$", "(multipleOf 6)"),
    (str, Annotated[str, Meta(pattern="^a")], "$", "string (pattern"),
    (Literal["ba"], Annotated[str, Meta(pattern="^a")], "$", '"ba"'),
    (Node, Texts, "$.value", "it is written as integer and read as string"),
]


@pytest.mark.parametrize(("writer", "reader", "path", "reason"), UNREADABLE)
def test_not_readable(writer: Any, reader: Any, path: str, reason: str) -> None:
    found = readable(json_schema(writer), json_schema(reader))
    assert found[0].path == path
    assert reason in found[0].reason


def test_what_was_taken_for_readable_within_itself_is_looked_at_again() -> None:
    """Q is readable if P is. P is not, which harms nobody in `a`; but then Q is not either."""
    integer, text = {"type": "integer"}, {"type": "string"}

    def schema(value: Any, *or_else: Any) -> Any:
        return {
            "type": "object",
            "properties": {"a": {"anyOf": [{"$ref": "#/$defs/P"}, *or_else]}, "b": {"$ref": "#/$defs/Q"}},
            "$defs": {
                "P": {"type": "object", "properties": {"q": {"$ref": "#/$defs/Q"}, "v": value}},
                "Q": {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}},
            },
        }

    found = readable(schema(integer), schema(text, {"type": "object"}))
    assert [path for path, _ in found] == ["$.b.p.v"]


def test_schemas_that_refer_to_one_another_are_compared_in_no_time() -> None:
    """There are 14! ways through them."""
    names = [f"T{number}" for number in range(14)]

    def schema(value: Any) -> Any:
        fields = {name: {"$ref": f"#/$defs/{name}"} for name in names}
        one = {"type": "object", "properties": {**fields, "value": value}}
        return {"$ref": "#/$defs/T0", "$defs": dict.fromkeys(names, one) | {name: dict(one) for name in names}}

    assert readable(schema({"type": "integer"}), schema({"type": "number"})) == []
    assert len(readable(schema({"type": "integer"}), schema({"type": "string"}))) == 20, "no more are told"


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        (True, 1, True),
        (False, 1, False),
        ({"const": "a"}, "a", True),
        ({"const": "a"}, "b", False),
        ({"type": ["string", "null"]}, None, True),
        ({"type": ["string", "null"]}, 1, False),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 3, True),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 2, False),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}], "minimum": 3}, 2, False),
        ({"type": "string", "format": "email"}, "eve", True),  # a format that nobody here knows
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}, 1, False),
        ({"$ref": "other.json"}, 1, True),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, 1, True),
        ({"properties": {"a": {"items": {"type": "integer"}}}}, {"a": [1, "x"]}, False),
        ({"type": "string", "pattern": "("}, "a", True),
    ],
)  # fmt: skip
def test_schemas_that_others_may_write(schema: Any, value: Any, fits: bool) -> None:
    assert accepts(schema, value) == fits
