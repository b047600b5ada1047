"""Classes that other libraries read and write: values survive, or the class is refused with what to do."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Annotated, Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import annotated_types as at
import msgspec
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.dataclasses import dataclass as pydantic_dataclass
from sagakit import Context, Saga, step
from sagakit.definition import Codec
from sagakit.errors import DefinitionError, UnreadableValue, Unwritable

T = TypeVar("T")


class Line(BaseModel):
    sku: str
    count: int = Field(default=1, gt=0)


class GiftLine(Line):
    wish: str = ""


class Order(BaseModel):
    lines: list[Line]
    weight: float | None = None
    opens: time | None = None
    extra: Any = None


class Plain(msgspec.Struct):
    sku: str


@dataclass
class Holder:
    line: Line
    lines: list[Line]


class Cat(BaseModel):
    name: str = ""


class Dog(BaseModel):
    name: str = ""


class Pets(BaseModel):
    pet: Cat | Dog


class Hidden(BaseModel):
    card: str = Field(default="", exclude=True)


class TwoNames(BaseModel):
    card: str = Field(default="", validation_alias="number")


class Secret(BaseModel):
    card: SecretStr


class HoldsStruct(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    plain: Plain


@pydantic_dataclass
class PydanticLine:
    count: int = Field(default=1, gt=0)


@dataclass
class HoldsPydanticLine:
    line: PydanticLine


class OddKeys(BaseModel):
    prices: dict[tuple[int, int], int]


class Place(NamedTuple):
    aisle: int


class PlaceKeys(BaseModel):
    prices: dict[Place, int]


class PlaceOrList(BaseModel):
    place: Place | list[int]


class MixedKeys(BaseModel):
    prices: dict[int | str, int]


class LookAlike(BaseModel):
    at: datetime | str


class UnionWithin(msgspec.Struct):
    pet: Line | int


class Positive(msgspec.Struct):
    count: Annotated[int, at.Gt(0)]


@dataclass
class Predicated:
    name: Annotated[str, at.Predicate(str.isupper)]


@dataclass
class Aliased:
    name: Annotated[str, Field(alias="other")]


# -------------------------------------------------------------- refused by type


@pytest.mark.parametrize(
    ("type", "says"),
    [
        (Cat | Dog, r"Cat and Dog are in one union, and cannot be told apart: give each a field such as kind: Literal"),
        (Pets, r"cannot be told apart: .* - at `\$\.pet`"),
        (Line | dict[str, int], "Line and dict are in one union"),
        (Hidden, "the field card of Hidden is not written under this name .*, and would be lost: give it one alias="),
        (TwoNames, "the field number of TwoNames is not written under this name"),
        (Secret, r"a secret is written as asterisks: keep a reference to it - at `\$\.card`"),
        (HoldsStruct, "a msgspec.Struct or an attrs class within a pydantic model must be a model or a dataclass, too"),
        (HoldsPydanticLine, "PydanticLine is a pydantic dataclass within a class that is not pydantic's"),
        (OddKeys, r"a dict in JSON cannot have a key that is tuple: use texts or numbers.* - at `\$\.prices`"),
        (PlaceKeys, "a dict in JSON cannot have a key that is"),
        (PlaceOrList, r"are in one union, and look the same in JSON: use one of them - at `\$\.place`"),
        (MixedKeys, "1 and '1' would be the same: use keys of one kind"),
        (LookAlike, "datetime and str are in one union, and look the same in JSON: use one of them"),
        (Line | Plain, "use tagged msgspec.Structs, or pydantic models that have a field such as kind"),
        (UnionWithin, "classes in one union must be told apart"),
        (Positive, r"Positive\.count: a Struct does not check this constraint: use msgspec\.Meta"),
        (Predicated, r"Predicated\.name: nothing would check Predicate\(.*: use msgspec.Meta, or check it in"),
        (Aliased, r"Aliased\.name: Field\(alias=\.\.\.\) works in pydantic models only: make the class a model"),
        (Annotated[int, pydantic.AfterValidator(abs)], r"the type: nothing would check AfterValidator"),
        (BaseModel, r"pydantic.BaseModel has no fields: name the model"),
    ],
)
def test_a_type_that_cannot_be_kept_is_refused_with_what_to_do(type: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        Codec(type)


def test_it_is_refused_when_the_saga_is_created() -> None:
    with pytest.raises(DefinitionError, match=r"Pay\.input: .*Secret cannot be kept as JSON: a secret is written"):

        class Pay(Saga[Secret]):
            @step(compensate=None)
            async def pay(self, card: Secret, ctx: Context) -> None: ...


# ------------------------------------------------------------- refused by value


class Masked(BaseModel):
    card: str

    @pydantic.field_serializer("card")
    def mask(self, card: str) -> str:
        return card[-4:]


class Doubled(BaseModel):
    price: int

    @pydantic.field_validator("price")
    def double(cls, price: int) -> int:
        return price * 2


class WritesNaN(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")

    weight: float


def untouched_by_validation() -> Line:
    line = Line(sku="a")
    line.count = "2"  # type: ignore[assignment]
    return line


@pytest.mark.parametrize(
    ("type", "value", "says", "path"),
    [
        (Line, {"sku": "a", "cuont": 2}, "'cuont' is not a field of Line, and would be lost; did you mean", "$"),
        (Order, {"lines": [{"sku": "a", "count": "2"}]}, '"2" would come back as 2', "$.lines[0].count"),
        (list[Line], [GiftLine(sku="a", wish="b")], "GiftLine has wish, which Line does not have", "$[0]"),
        (Line, Plain("a"), "it is a Plain, and would come back as a Line: give a Line", "$"),
        (Line, 5, "Input should be an object", None),
        (Line, untouched_by_validation(), '"2" would come back as 2', "$.count"),
        (Holder, Holder(GiftLine(sku="a"), []), "GiftLine has wish", "$.line"),
        (Holder, {"line": {"sku": "a"}, "lines": [{"sku": "a", "count": 0}]}, "greater than 0", "$.lines[0].count"),
        (Masked, Masked(card="12345678"), "'12345678' would come back as '5678': write it in full", "$.card"),
        (Doubled, Doubled(price=1), "2 would come back as 4", "$.price"),
        (Order, Order(lines=[], weight=float("nan")), "nan is not a JSON number", None),
        (WritesNaN, WritesNaN(weight=float("inf")), "NaN and infinity are not JSON numbers", None),
        (Order, Order(lines=[], opens=time(12, tzinfo=ZoneInfo("Europe/Paris"))), "keep its name", "$.opens"),
        (Order, Order(lines=[], extra=object()), "Unable to serialize unknown type", None),
    ],
)
def test_a_value_that_would_come_back_changed_is_refused(type: Any, value: object, says: str, path: str | None) -> None:
    with pytest.raises(Unwritable) as caught:
        Codec(type).encode(value)
    assert says in str(caught.value)
    assert caught.value.path == path


def test_all_wrong_fields_are_named() -> None:
    with pytest.raises(UnreadableValue) as caught:
        Codec(Order).decode(b'{"lines":[{"count":0},{"count":0}],"weight":"x"}')
    assert caught.value.reason == (
        "Field required; Input should be greater than 0 at `$.lines[0].count`; Field required at `$.lines[1].sku`; "
        "2 more - at `$.lines[0].sku`"
    )


# ------------------------------------------------------------------- what is kept


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    a: int

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.a


class Private(BaseModel):
    a: int
    _note: str = "none"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    a: int


class Tree(BaseModel):
    leaves: list[Tree] = []


class Camel(BaseModel):
    model_config = ConfigDict(
        alias_generator=pydantic.AliasGenerator(alias=lambda name: f"{name}X"), populate_by_name=True
    )

    a: int


def with_note() -> Private:
    private = Private(a=1)
    private._note = "b"
    return private


@pytest.mark.parametrize(
    ("type", "value", "kept"),
    [
        (Computed, Computed(a=1), b'{"a":1}'),
        (Private, with_note(), b'{"a":1}'),
        (Open, Open(a=1, b=2), b'{"a":1,"b":2}'),  # type: ignore[call-arg]
        (Open, {"a": 1, "b": 2}, b'{"a":1,"b":2}'),
        (Tree, Tree(leaves=[Tree()]), b'{"leaves":[{"leaves":[]}]}'),
        (Camel, Camel(a=1), b'{"aX":1}'),
        (Camel, {"a": 1}, b'{"a":1}'),
        (Line, {"sku": "a"}, b'{"sku":"a"}'),
        (list[PydanticLine], [PydanticLine(2)], b'[{"count":2}]'),
        (Any, {"line": Line(sku="a")}, b'{"line":{"sku":"a","count":1}}'),
        (Order, Order(lines=[], extra=(1, 2)), b'{"lines":[],"weight":null,"opens":null,"extra":[1,2]}'),
        (Line | int | None, 5, b"5"),
    ],
)
def test_what_is_kept(type: Any, value: object, kept: bytes) -> None:
    codec = Codec(type)
    assert codec.encode(value) == kept
    codec.decode(kept)


def test_two_inputs_are_the_same_whatever_the_order_of_their_fields() -> None:
    codec = Codec(Line)
    assert codec.same(b'{"sku":"a","count":1}', b'{"count":1, "sku":"a"}')
    assert codec.same(b'{"sku":"a"}', b'{"sku":"a","count":1}')
    assert not codec.same(b'{"sku":"a"}', b'{"sku":"b"}')
