"""Constraints of other libraries hold in all classes, and are in the schema."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

import annotated_types as at
import attrs
import msgspec
import pytest
from pydantic import Field
from sagakit import Context, Saga, step
from sagakit.definition import Codec, accepts, compiled
from sagakit.errors import UnreadableValue, Unwritable

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
