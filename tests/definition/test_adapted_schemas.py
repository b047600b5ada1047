"""The schemas of classes that other libraries read: their parts, their names, and what can be read by what."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeVar

import pydantic
import pytest
from pydantic import BaseModel
from sagakit import Context, Saga, signal, step
from sagakit.definition import Codec, compiled, unreadable_parts
from sagakit.definition.compatibility import readable
from sagakit.errors import DefinitionError

from tests.definition.test_adapters import Holder, Line, Order

T = TypeVar("T")


def test_the_schema_of_a_saga_has_its_models() -> None:
    class Place(Saga[Order, Line]):
        paid = signal(Line)

        @step(compensate=None)
        async def pay(self, order: Order, ctx: Context) -> Holder: ...

        def output(self, input: Order, ctx: Context) -> Line: ...

    schema = Place.schema()
    line = schema["input"]["$defs"]["Line"]
    assert line["properties"]["count"] == {"default": 1, "exclusiveMinimum": 0, "title": "Count", "type": "integer"}
    assert line["required"] == ["sku"]
    assert schema["steps"]["pay"]["$defs"]["Line"] == line, "a model within a dataclass has the same schema"
    assert schema["signals"]["paid"]["properties"] == schema["output"]["properties"] == line["properties"]
    assert all("$schema" in schema[part] for part in ("input", "output"))


class Money(BaseModel):
    amount: Decimal
    at: datetime
    by_number: dict[int, int]


@dataclass
class MoneyClass:
    amount: Decimal
    at: datetime
    by_number: dict[int, int]


def test_a_model_and_a_dataclass_of_the_same_fields_read_each_other() -> None:
    value = Money(amount=Decimal("1.50"), at=datetime(2026, 1, 1, tzinfo=UTC), by_number={1: 2})
    data = Codec(Money).encode(value)
    assert Codec(Money).decode(Codec(MoneyClass).encode(Codec(MoneyClass).decode(data))) == value
    one, other = Codec(Money).schema(), Codec(MoneyClass).schema()
    assert readable(one, other) == readable(other, one) == []


def test_a_field_that_became_required_makes_two_versions_of_a_model_incompatible() -> None:
    class Old(Saga[Line], name="Pay"):
        @step(compensate=None)
        async def pay(self, line: Line, ctx: Context) -> None: ...

    class Strict(BaseModel):
        sku: str
        count: int

    class New(Saga[Strict], name="Pay"):
        @step(compensate=None)
        async def pay(self, line: Strict, ctx: Context) -> None: ...

    (bound,) = unreadable_parts(New.schema(), Old.schema())
    assert bound == "input.count: it is written as integer and read as integer (exclusiveMinimum 0)"
    (fault,) = unreadable_parts(Old.schema(), New.schema())
    assert fault.startswith("input.count: it is required, and may be missing")


class Kind(BaseModel):
    kind: Literal["a"] = "a"


def test_two_classes_of_one_name_have_two_schemas() -> None:
    other = pydantic.create_model("Line", size=(int, ...))

    @dataclass
    class Both:
        one: Line
        two: other  # type: ignore[valid-type]
        three: Kind

    Both.__annotations__ |= {"one": Line, "two": other, "three": Kind}
    schema = Codec(Both).schema()
    assert {"Line", "Line-2", "Kind"} < set(schema["$defs"])
    assert schema["$defs"]["Line-2"]["required"] == ["size"]


# ---------------------------------------------------------------- names and imports


class Early(BaseModel):
    later: Later


class WaitsForLater(Saga[Early]):
    @step(compensate=None)
    async def pay(self, early: Early, ctx: Context) -> None: ...


class Later(BaseModel):
    a: int


def test_a_model_whose_field_is_defined_below_is_known_at_its_first_use() -> None:
    value = Early(later=Later(a=1))
    assert compiled(WaitsForLater).encode_input(value) == b'{"later":{"a":1}}'


def test_a_model_with_an_unknown_field_is_refused_at_its_first_use() -> None:
    class Late(BaseModel):
        later: Nowhere  # type: ignore[name-defined]  # noqa: F821

    class Place(Saga[Late]):
        @step(compensate=None)
        async def pay(self, late: Late, ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match=r"Place\.input: within .*Late: Nowhere is not known at run time"):
        compiled(Place)


def test_nothing_is_imported_that_the_user_does_not_use() -> None:
    code = (
        "import sys, dataclasses, sagakit\n"
        "@dataclasses.dataclass\nclass Order:\n    sku: str\n"
        "class Place(sagakit.Saga[Order]):\n"
        "    @sagakit.step(compensate=None)\n"
        "    async def pay(self, order: Order, ctx: sagakit.Context) -> None: ...\n"
        "Place.schema()\n"
        "print([name for name in ('pydantic', 'pydantic_core', 'annotated_types') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
