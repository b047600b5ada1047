"""The JSON Schemas of a definition: what a saga keeps, for forms and for other languages."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Struct
from sagakit import Context, Saga, child, each, signal, step, timer
from sagakit.definition import schema_digest
from sagakit.definition.compiler import RESERVED
from sagakit.definition.json_schema import DIALECT, json_schema
from sagakit.errors import DefinitionError

T = TypeVar("T")


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Level(enum.IntEnum):
    LOW = 1


class Plain(Struct):
    """Two fields."""

    name: str
    size: Size = Size.SMALL
    tags: list[str] = []


class Strict(Struct, forbid_unknown_fields=True, rename="camel"):
    first_name: str


class Tagged(Struct, tag=True):
    a: int


class Other(Struct, tag=True):
    b: int


class Row(Struct, array_like=True, tag="row"):
    a: int
    b: str = "x"


class StrictRow(Struct, array_like=True, forbid_unknown_fields=True):
    a: int


class Pair(NamedTuple):
    a: int
    b: int = 0


class Perhaps(TypedDict, total=False):
    a: int


@dataclass
class Data:
    a: int
    b: int | None = None


class Tree(Struct):
    children: list[Tree] = []


class Box(Struct, Generic[T]):
    inner: T


AS_MSGSPEC: list[Any] = [
    None, bool, int, float, str, bytes, Any, date, timedelta, UUID, Decimal, list, dict, list[int],
    Plain, Strict, Tagged, Tagged | Other, Tagged | Other | None,
    Tagged | Other | int | None, Row, StrictRow, Pair, Perhaps, Data, Tree, Size, Level,
    Box[int], Box[Plain], tuple[Box[int], Box[str]],
    list[Plain], set[int], frozenset[str], tuple[int, ...], tuple[int, str], tuple[()], dict[str, int],
    dict[str, Plain],
    int | None, int | str | None, Literal[1, "a", None], Plain | None,
    Annotated[int, Meta(ge=1, lt=5, multiple_of=2)], Annotated[float, Meta(gt=0)],
    Annotated[str, Meta(min_length=1, max_length=4, pattern="^a")], Annotated[bytes, Meta(max_length=4)],
    Annotated[list[int], Meta(min_length=1, max_length=3)], Annotated[dict[str, int], Meta(min_length=1)],
    Annotated[datetime, Meta(tz=True)], Annotated[time, Meta(tz=True)],
    dict[Annotated[str, Meta(min_length=1)], int],
    Annotated[int, Meta(title="Pieces", description="How many.", examples=[1], extra_json_schema={"x-unit": "piece"})],
]  # fmt: skip


@pytest.mark.parametrize("type", AS_MSGSPEC)
def test_a_type_has_the_schema_that_msgspec_makes_of_it(type: Any) -> None:
    assert json_schema(type) == msgspec.json.schema(type)


@pytest.mark.parametrize(
    ("type", "schema"),
    [
        (datetime, {"anyOf": [{"type": "string", "format": form} for form in ("date-time", "date-time-local")]}),
        (Annotated[datetime, Meta(tz=False)], {"type": "string", "format": "date-time-local"}),
        (dict[int, str], {"propertyNames": {"pattern": "^-?[0-9]+$"}, "additionalProperties": {"type": "string"}}),
        (dict[float, Any], {"propertyNames": {"pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"}}),
        (dict[Literal["a", "b"], Any], {"propertyNames": {"enum": ["a", "b"]}}),
        (dict[Size, Any], {"propertyNames": {"enum": ["l", "s"]}}),
        (dict[Level, Any], {"propertyNames": {"enum": ["1"]}}),
        (dict[UUID, Any], {"propertyNames": {"format": "uuid"}}),
    ],
)
def test_a_schema_says_what_releases_of_msgspec_leave_out(type: Any, schema: Any) -> None:
    assert json_schema(type) == schema | ({"type": "object"} if "propertyNames" in schema else {})


def test_two_classes_of_one_name() -> None:
    lines = tuple(msgspec.defstruct("Line", [("value", type)]) for type in (int, str))
    generic: Any = tuple
    found = json_schema(generic[lines])
    assert [one["$ref"] for one in found["prefixItems"]] == ["#/$defs/Line", "#/$defs/Line-2"]
    assert found["$defs"]["Line-2"]["properties"] == {"value": {"type": "string"}}


def test_a_default_that_is_no_json_is_left_out() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    Holder = msgspec.defstruct("Holder", [("a", int, msgspec.field(default=Odd()))])
    assert json_schema(Holder)["$defs"]["Holder"]["properties"] == {"a": {"type": "integer"}}


# --------------------------------------------------------------- a definition


class Kid(Saga[str, int]):
    @step(compensate=None)
    async def only(self, name: str, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> int:
        return 1


class Shop(Saga[Plain, Data], name="shop", version=3):
    """A node of each kind."""

    @step(compensate=None)
    async def reserve(self, order: Plain, ctx: Context) -> list[int]: ...  # type: ignore[empty-body]

    @each(reserve, compensate=None)
    async def pack(self, order: Plain, piece: int, ctx: Context) -> str: ...  # type: ignore[empty-body]

    approved = signal(Tagged)
    late = signal(int, timeout=timedelta(days=1), on_timeout="continue")
    pause = timer(timedelta(hours=1))
    kid = child(Kid, lambda order, ctx: order.name)

    def output(self, input: Plain, ctx: Context) -> Data:
        return Data(1)


def test_the_schemas_of_a_definition() -> None:
    found = Shop.schema()
    assert (found["saga"], found["version"]) == ("shop", 3)
    assert found["input"] == {"$schema": DIALECT, **msgspec.json.schema(Plain)}
    assert found["output"] == {"$schema": DIALECT, **msgspec.json.schema(Data)}
    integer, string = {"$schema": DIALECT, "type": "integer"}, {"$schema": DIALECT, "type": "string"}
    assert found["steps"] == {
        "reserve": {"$schema": DIALECT, "type": "array", "items": {"type": "integer"}},
        "pack": string,
    }
    assert found["items"] == {"pack": {"$schema": DIALECT, "type": "array", "items": {"type": "integer"}}}
    assert found["signals"] == {
        "approved": {"$schema": DIALECT, **msgspec.json.schema(Tagged)},
        "late": {"$schema": DIALECT, "anyOf": [{"type": "integer"}, {"type": "null"}]},
    }
    assert found["children"] == {"kid": {"input": string, "output": integer}}


def test_the_digest_of_a_schema_is_that_of_what_it_says() -> None:
    found = Shop.schema()
    again = msgspec.json.decode(msgspec.json.encode(found))
    assert schema_digest(dict(reversed(again.items()))) == schema_digest(found)
    assert schema_digest(found | {"input": {}}) != schema_digest(found)
    assert len(schema_digest(found)) == 16


def test_a_step_cannot_be_called_schema() -> None:
    assert "schema" in RESERVED
    with pytest.raises(DefinitionError, match="the name is taken by Saga itself"):

        class Wrong(Saga[str]):
            @step(compensate=None)
            async def schema(self, input: str, ctx: Context) -> None: ...  # type: ignore[override]


def test_a_definition_without_nodes_has_no_schema() -> None:
    with pytest.raises(DefinitionError, match="has no steps"):
        Saga.schema()
