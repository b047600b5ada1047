"""Values of every kind of type that people have, for sagas that carry them."""
# annotations are not postponed: the classes of a test are made of types that it is given

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import annotated_types
import attrs
import msgspec
import pydantic
from pydantic.dataclasses import dataclass as pydantic_dataclass

T = TypeVar("T")


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class AsStruct(msgspec.Struct):
    sku: str
    count: Annotated[int, msgspec.Meta(gt=0)] = 1


@dataclass
class AsDataclass:
    sku: str
    count: Annotated[int, annotated_types.Gt(0)] = 1


@attrs.define
class AsAttrs:
    sku: str
    count: int = attrs.field(default=1, validator=attrs.validators.gt(0))


class AsModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=pydantic.AliasGenerator(alias=str.upper), populate_by_name=True)

    sku: str
    count: int = pydantic.Field(default=1, gt=0)
    price: Decimal = Decimal("1.50")
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@pydantic_dataclass
class AsPydanticDataclass:
    sku: str
    count: int = pydantic.Field(default=1, gt=0)


class AsTypedDict(TypedDict):
    sku: str
    count: int


class AsNamedTuple(NamedTuple):
    sku: str
    number: int = 1


@dataclass
class GenericDataclass(Generic[T]):
    items: list[T]


class GenericModel(pydantic.BaseModel, Generic[T]):
    items: list[T]


class CardStruct(msgspec.Struct, tag="card"):
    number: str


class CashStruct(msgspec.Struct, tag="cash"):
    amount: int


class CardModel(pydantic.BaseModel):
    kind: Literal["card"] = "card"
    number: str


class CashModel(pydantic.BaseModel):
    kind: Literal["cash"] = "cash"
    amount: int


@dataclass
class HoldsModel:
    line: AsModel
    lines: list[AsModel]


class StructHoldsModel(msgspec.Struct):
    line: AsModel | None = None


@attrs.define
class AttrsHoldsModel:
    line: AsModel


class ModelHolds(pydantic.BaseModel):
    line: AsDataclass
    pair: AsNamedTuple
    size: Size
    paid: Annotated[CardModel | CashModel, pydantic.Field(discriminator="kind")]


class Lines(pydantic.RootModel[list[AsModel]]):
    pass


class Kind(NamedTuple):
    """A type, a value of it, and JSON that is none, with the path to the field that is wrong."""

    name: str
    hint: Any
    value: Any
    wrong: bytes
    path: str | None


_LINE = AsModel(sku="a", count=2)
KINDS: Sequence[Kind] = [
    Kind("struct", AsStruct, AsStruct("a", 2), b'{"sku":"a","count":0}', "$.count"),
    Kind("dataclass", AsDataclass, AsDataclass("a", 2), b'{"sku":"a","count":0}', "$.count"),
    Kind("attrs", AsAttrs, AsAttrs("a", 2), b'{"sku":1,"count":1}', "$.sku"),
    Kind("pydantic", AsModel, _LINE, b'{"SKU":"a","COUNT":0}', "$.COUNT"),
    Kind("pydantic dataclass", AsPydanticDataclass, AsPydanticDataclass("a", 2), b'{"sku":"a","count":0}', "$.count"),
    Kind("TypedDict", AsTypedDict, {"sku": "a", "count": 2}, b'{"sku":"a","count":"x"}', "$.count"),
    Kind("NamedTuple", AsNamedTuple, AsNamedTuple("a", 2), b'["a","x"]', "$[1]"),
    Kind("enum", Size, Size.LARGE, b'"xl"', None),
    Kind("constrained", Annotated[int, pydantic.Field(gt=0)], 5, b"0", None),
    Kind("generic dataclass", GenericDataclass[int], GenericDataclass([1]), b'{"items":["x"]}', "$.items[0]"),
    Kind("generic model", GenericModel[AsModel], GenericModel[AsModel](items=[_LINE]), b'{"items":[1]}', "$.items[0]"),
    Kind("union of structs", CardStruct | CashStruct, CashStruct(2), b'{"type":"cash","amount":"x"}', "$.amount"),
    Kind("union of models", CardModel | CashModel, CashModel(amount=2), b'{"kind":"x"}', "$.CardModel.kind"),
    Kind("list of models", list[AsModel], [_LINE], b'[{"SKU":1}]', "$[0].SKU"),
    Kind("root model", Lines, Lines([_LINE]), b'[{"SKU":1}]', "$[0].SKU"),
    Kind("model or None", AsModel | None, _LINE, b'{"SKU":1}', "$.SKU"),
    Kind("model in dataclass", HoldsModel, HoldsModel(_LINE, [_LINE]), b'{"line":{"SKU":1},"lines":[]}', "$.line.SKU"),
    Kind("model in struct", StructHoldsModel, StructHoldsModel(_LINE), b'{"line":{"SKU":1}}', "$.line.SKU"),
    Kind("model in attrs", AttrsHoldsModel, AttrsHoldsModel(_LINE), b'{"line":{"SKU":1}}', "$.line.SKU"),
    Kind(
        "dataclass in model",
        ModelHolds,
        ModelHolds(line=AsDataclass("a"), pair=AsNamedTuple("b"), size=Size.SMALL, paid=CashModel(amount=1)),
        b'{"line":{"sku":"a","count":0},"pair":["a",1],"size":"s","paid":{"kind":"cash","amount":1}}',
        "$.line.count",
    ),
]
