"""Constraints of other libraries hold in all classes, and are in the schema."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, NewType, NotRequired, TypedDict, TypeVar

import annotated_types as at
import attrs
import msgspec
import pytest
from pydantic import BaseModel, Field
from sagakit import Context, Saga, step
from sagakit.definition import Codec, accepts, compiled
from sagakit.errors import UnreadableValue, Unwritable
from typing_extensions import TypeAliasType

T = TypeVar("T")


class Row(NamedTuple):
    sku: Annotated[str, Field(pattern="^[a-z]+$", description="its name")]
    number: Annotated[int, at.Interval(gt=0, le=10)] = 1


class Address(TypedDict):
    street: Annotated[str, at.Len(1, 5)]
    city: NotRequired[Annotated[str, at.MinLen(2)]]


@attrs.define
class Box:
    size: Annotated[float, at.MultipleOf(0.5)]


@dataclass
class Page(Generic[T]):
    items: Annotated[list[T], Field(max_length=1)]


@dataclass
class Shop:
    opens: Annotated[datetime, at.Timezone(...)]


@dataclass
class Base:
    size: Annotated[int, at.Gt(5)]


@dataclass
class Derived(Base):
    size: Annotated[int, msgspec.Meta(title="Size"), at.Gt(0)]


@dataclass
class Boxes:
    boxes: list[Annotated[int, at.Ge(3)]] | None = None


@pytest.mark.parametrize(
    ("type", "good", "bad", "path"),
    [
        (Row, b'["a",10]', b'["a",11]', "$[1]"),
        (Row, b'["a"]', b'["A"]', "$[0]"),
        (Address, b'{"street":"a"}', b'{"street":""}', "$.street"),
        (Address, b'{"street":"a","city":"ab"}', b'{"street":"a","city":"b"}', "$.city"),
        (Box, b'{"size":1.5}', b'{"size":1.7}', "$.size"),
        (Page[int], b'{"items":[1]}', b'{"items":[1,2]}', "$.items"),
        (Shop, b'{"opens":"2026-01-01T00:00:00Z"}', b'{"opens":"2026-01-01T00:00:00"}', "$.opens"),
        (Boxes, b'{"boxes":[3]}', b'{"boxes":[2]}', "$.boxes[0]"),
        (Derived, b'{"size":5}', b'{"size":0}', "$.size"),
        (Base, b'{"size":6}', b'{"size":5}', "$.size"),
        (list[Annotated[int, Field(gt=0)]], b"[1]", b"[0]", "$[0]"),
        (dict[str, Annotated[int, at.Lt(5)] | None], b'{"a":null}', b'{"a":5}', "$[...]"),
    ],
)
def test_constraints_hold_in_all_classes_and_are_in_the_schema(type: Any, good: bytes, bad: bytes, path: str) -> None:
    codec = Codec(type)
    codec.decode(good)
    assert accepts(codec.schema(), msgspec.json.decode(good))
    with pytest.raises(UnreadableValue) as caught:
        codec.decode(bad)
    assert caught.value.path == path


def test_a_constraint_on_what_a_step_returns_holds() -> None:
    class Pay(Saga[int]):
        @step(compensate=None)
        async def pay(self, value: int, ctx: Context) -> Annotated[int, Field(gt=0)]: ...

    definition = compiled(Pay)
    assert definition.plan.nodes[0].result_type == "int", "a constraint is no part of the plan's digest"
    with pytest.raises(Unwritable):
        definition.nodes["pay"].result.encode(0)


# ------------------------------------------------- several constraints, and members of unions

Pos = NewType("Pos", Annotated[int, at.Gt(0)])  # pyright: ignore[reportGeneralTypeIssues]
SmallPos = NewType("SmallPos", Annotated[Pos, at.Lt(10)])  # pyright: ignore[reportGeneralTypeIssues]

Alias = TypeAliasType("Alias", Annotated[int, at.Gt(0)])


@dataclass
class HoldsPos:
    size: Pos  # pyright: ignore[reportInvalidTypeForm]


class Item(BaseModel):
    sku: str


@dataclass
class SomeItems:
    items: Annotated[list[Item], msgspec.Meta(min_length=1)]


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        (Pos, b"1", b"0"),
        (SmallPos, b"9", b"10"),
        (dict[str, Alias], b'{"a":1}', b'{"a":0}'),
        (SmallPos, b"1", b"0"),
        (list[Pos], b"[1]", b"[-1]"),
        (Pos | None, b"null", b"0"),
        (HoldsPos, b'{"size":1}', b'{"size":0}'),
        (Annotated[Pos, at.Gt(5)], b"6", b"5"),
        (Annotated[int, at.Ge(5), at.Ge(0)], b"5", b"3"),
        (Annotated[int, at.Le(5), at.Le(9)], b"5", b"6"),
        (Annotated[str, at.MinLen(2), at.MinLen(1)], b'"ab"', b'"a"'),
        (Annotated[str, at.MaxLen(1), at.MaxLen(2)], b'"a"', b'"ab"'),
        (Annotated[int, at.Gt(0), at.Ge(0)], b"1", b"0"),
        (Annotated[int, at.Lt(9), at.Le(5)], b"5", b"6"),
        (Annotated[int, at.Gt(0), msgspec.Meta(ge=3)], b"3", b"2"),
        (Annotated[int, msgspec.Meta(ge=3, title="Size"), at.Ge(1)], b"3", b"2"),
        (Annotated[int, at.MultipleOf(2), at.MultipleOf(2)], b"2", b"1"),
        (Annotated[int | None, at.Gt(0)], b"1", b"0"),
        (Annotated[int | None, at.Gt(0)], b"null", b"-1"),
        (Annotated[int | None, Field(gt=0, title="Size")], b"null", b"0"),
        (Annotated[Annotated[int, at.Ge(3)] | None, at.Gt(0)], b"3", b"2"),
        (Annotated[list[int] | str, at.MinLen(1)], b'"a"', b"[]"),
        (SomeItems, b'{"items":[{"sku":"a"}]}', b'{"items":[]}'),
        (Annotated[list[Item], Field(min_length=1)], b'[{"sku":"a"}]', b"[]"),
    ],
)
def test_the_strictest_of_several_constraints_holds(type: Any, good: bytes, bad: bytes) -> None:
    for _ in range(2):  # the fields of a class are translated once
        codec = Codec(type)
        codec.decode(good)
        with pytest.raises(UnreadableValue):
            codec.decode(bad)


@dataclass
class Priced:
    price: Annotated[Decimal, at.Gt(0)]


@dataclass
class Dated:
    day: Annotated[date, at.Gt(date(2026, 1, 1))]


class Ignored(BaseModel):
    size: Annotated[int, msgspec.Meta(gt=0)]


class IgnoredDeep(BaseModel):
    sizes: list[Annotated[int, msgspec.Meta(gt=0)]] | None = None


class IgnoredDeeper(BaseModel):
    deep: dict[str, IgnoredDeep]


@dataclass
class HoldsIgnored:
    one: Ignored


_IGNORES = r"pydantic ignores msgspec\.Meta: use Field\(\.\.\.\)"


@pytest.mark.parametrize(
    ("type", "says"),
    [
        (Priced, r"Priced\.price: nothing would check Gt\(gt=0\) of Decimal: check it in a pydantic model or in"),
        (Dated, r"Dated\.day: nothing would check Gt\(gt=datetime\.date\(2026, 1, 1\)\)"),
        (Annotated[int | str, at.Gt(0)], r"the type: nothing would check Gt\(gt=0\) of str"),
        (Annotated[int, at.Gt(0.5)], r"the type: nothing would check Gt\(gt=0\.5\) of int"),
        (Annotated[str, Field(pattern="a"), Field(pattern="b")], "the type: two constraints differ, pattern='a' and"),
        (Annotated[int, at.MultipleOf(2), at.MultipleOf(3)], "the type: two constraints differ, multiple_of=2 and"),
        (Annotated[list[Item], msgspec.Meta(min_length=1)], f"the type: {_IGNORES}"),
        (list[Annotated[list[Item], msgspec.Meta(min_length=1)]], f"the type: {_IGNORES}"),
        (Ignored, rf"Ignored\.size: {_IGNORES}"),
        (IgnoredDeep, rf"IgnoredDeep\.sizes: {_IGNORES}"),
        (IgnoredDeeper, rf"IgnoredDeep\.sizes: {_IGNORES}"),
        (HoldsIgnored, rf"Ignored\.size: {_IGNORES}"),
        (tuple[int, int] | Annotated[int, at.Gt(0)], "which ends the process: use a class"),
    ],
)
def test_a_constraint_that_nothing_would_check_is_refused(type: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Codec(type)


@dataclass
class Zoned:
    opens: Annotated[datetime | None, at.Timezone(...)]
    name: Annotated[str | None, Field(pattern="^a$", max_length=5)] = None


class HoldsPlain(BaseModel):
    base: Base
    zoned: Zoned
    name: Annotated[str, msgspec.Meta(title="Name")]


def test_a_class_that_msgspec_reads_elsewhere_may_be_in_a_model() -> None:
    for _ in range(2):
        Codec(Base)
        Codec(Zoned)
        Codec(HoldsPlain)
