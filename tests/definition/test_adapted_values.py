"""Values and types that only look as if they were kept, or as if they were not: each is judged by what it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import pydantic
import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, Secret, SecretStr
from sagakit.definition import Codec
from sagakit.errors import Unwritable
from typing_extensions import TypedDict

counter = count()


class MaskedBesideAny(BaseModel):
    card: str
    more: dict[str, Any] = {}

    @pydantic.field_serializer("card")
    def mask(self, card: str) -> str:
        return card[-4:]


class HeldMask(RootModel[str]):
    @pydantic.model_serializer
    def mask(self) -> str:
        return self.root[-4:]


@dataclass
class HoldsMask:
    card: HeldMask


class Shortened(BaseModel):
    items: list[int] = []
    pair: tuple[int, ...] = ()
    sizes: set[int] = set()
    words: frozenset[str] = frozenset()
    prices: dict[str, int] = {}

    @pydantic.field_serializer("items", "pair", "sizes")
    def few(self, items: Any) -> list[int]:
        return sorted(items)[:1]

    @pydantic.field_serializer("words")
    def none(self, words: Any) -> list[str]:
        return []

    @pydantic.field_serializer("prices")
    def without_last(self, prices: dict[str, int]) -> dict[str, int]:
        return dict(sorted(prices.items())[:1])


class MaskedKeys(BaseModel):
    prices: dict[str, int]

    @pydantic.field_serializer("prices")
    def mask(self, prices: dict[str, int]) -> dict[str, int]:
        return {name[-1:]: price for name, price in prices.items()}


class Opaque:
    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema as core

        read = core.no_info_after_validator_function(cls, core.str_schema())
        written = core.plain_serializer_function_ser_schema(lambda one: one.text)
        python = core.union_schema([core.is_instance_schema(cls), read])
        return core.json_or_python_schema(read, python, serialization=written)


class HoldsOpaque(BaseModel):
    opaque: Opaque


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    count: int = Field(default=1, alias="Count")
    size: int = 1


class Choices(BaseModel):
    count: int = Field(default=1, validation_alias=AliasChoices("count", "number"))


@pytest.mark.parametrize(
    ("type", "value", "says", "path"),
    [
        (MaskedBesideAny, MaskedBesideAny(card="12345678"), "'12345678' would come back as '5678'", "$.card"),
        (HoldsMask, HoldsMask(HeldMask("12345678")), "'12345678' would come back as '5678'", "$.card"),
        (Shortened, Shortened(items=[1, 2]), "its length 2 would come back as 1: write it in full", "$.items"),
        (Shortened, Shortened(pair=(1, 2)), "its length 2 would come back as 1", "$.pair"),
        (Shortened, Shortened(sizes={1, 2}), "2 would be lost: write it in full", "$.sizes"),
        (Shortened, Shortened(words=frozenset({"a"})), "'a' would be lost", "$.words"),
        (Shortened, Shortened(prices={"a": 1, "b": 2}), "'b' would be lost: a serializer leaves it out", "$.prices"),
        (MaskedKeys, MaskedKeys(prices={"12": 1}), "'12' would come back as '2'", "$.prices"),
        (HoldsOpaque, HoldsOpaque(opaque=Opaque("a")), "write it in full, or give the class `__eq__`", "$.opaque"),
        (ByName, {"conut": 2}, "'conut' is not a field of ByName, and would be lost; did you mean", "$"),
        (Choices, {"nmuber": 2}, "'nmuber' is not a field of Choices, and would be lost; did you mean 'number'", "$"),
    ],
)
def test_a_value_that_would_come_back_changed_is_refused(type: Any, value: object, says: str, path: str) -> None:
    with pytest.raises(Unwritable) as caught:
        Codec(type).encode(value)
    assert says in str(caught.value)
    assert caught.value.path == path


class Anything(BaseModel):
    more: Any = None
    queue: deque[Any] = deque()


class HeldAnything(RootModel[list[Any]]):
    pass


class Street(TypedDict):
    name: str


class AsTexts(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    weight: float
    weights: set[float] = set()


class HasProperties(BaseModel):
    properties: dict[str, int]
    readOnly: bool = True


class ReadOnly(BaseModel):
    kept: int = Field(json_schema_extra={"readOnly": True})


class WriteOnly(BaseModel):
    kept: str = Field(json_schema_extra={"writeOnly": True})


class Revealed(BaseModel):
    card: SecretStr | None
    pin: SecretStr

    @pydantic.field_serializer("card", "pin", when_used="json")
    def reveal(self, card: SecretStr | None) -> str | None:
        return None if card is None else card.get_secret_value()


class RevealedWithoutType(BaseModel):
    card: SecretStr

    @pydantic.field_serializer("card")
    def reveal(self, card):  # type: ignore[no-untyped-def]
        return card.get_secret_value()


@pytest.mark.parametrize(
    ("type", "value", "kept"),
    [
        (Anything, Anything(more=(1, b"a", {2: {3}})), b'{"more":[1,"a",{"2":[3]}],"queue":[]}'),
        (Anything, Anything(queue=deque([(1,)])), b'{"more":null,"queue":[[1]]}'),
        (HeldAnything, HeldAnything([(1, 2)]), b"[[1,2]]"),
        (HeldAnything, [1], b"[1]"),
        (AsTexts, AsTexts(weight=float("nan")), b'{"weight":"NaN","weights":[]}'),
        (AsTexts, AsTexts(weight=1, weights={float("nan")}), b'{"weight":1.0,"weights":["NaN"]}'),
        (ByName, {"count": 2, "size": 3}, b'{"count":2,"size":3}'),
        (ByName, {"Count": 2}, b'{"Count":2}'),
        (Choices, {"number": 2}, b'{"number":2}'),
        (HasProperties, HasProperties(properties={"a": 1}), b'{"properties":{"a":1},"readOnly":true}'),
        (ReadOnly, ReadOnly(kept=1), b'{"kept":1}'),
        (WriteOnly, WriteOnly(kept="a"), b'{"kept":"a"}'),
        (Revealed, Revealed(card=SecretStr("1"), pin=SecretStr("2")), b'{"card":"1","pin":"2"}'),
        (RevealedWithoutType, RevealedWithoutType(card=SecretStr("1")), b'{"card":"1"}'),
    ],
)
def test_what_is_kept(type: Any, value: object, kept: bytes) -> None:
    codec = Codec(type)
    assert codec.encode(value) == kept
    codec.decode(kept)


class MaybeSecret(BaseModel):
    card: SecretStr | None = None
    more: Any = None


class Secrets(BaseModel):
    cards: list[SecretStr]


class SecretNumber(BaseModel):
    pin: Secret[int]


@pydantic.dataclasses.dataclass
class Wallet:
    secrets: dict[str, MaybeSecret]


@pytest.mark.parametrize(
    ("type", "path"),
    [
        (MaybeSecret, r"\$\.card"),
        (Secrets, r"\$\.cards\[\]"),
        (SecretNumber, r"\$\.pin"),
        (Wallet, r"\$\.secrets\.card"),
    ],
)
def test_a_secret_that_is_written_as_asterisks_is_refused_wherever_it_is(type: Any, path: str) -> None:
    with pytest.raises(TypeError, match=rf"a secret is written as asterisks: keep a reference to it - at `{path}`"):
        Codec(type)


class Counted(BaseModel):
    a: int

    @cached_property
    def number(self) -> int:
        return next(counter)

    @pydantic.model_validator(mode="after")
    def use(self) -> Counted:
        assert self.number >= 0
        return self


def test_a_cached_property_is_not_a_field() -> None:
    assert Codec(Counted).same(b'{"a":1}', b'{"a":1}')
    assert not Codec(Counted).same(b'{"a":1}', b'{"a":2}')


class ComputedList(BaseModel):
    a: int

    @pydantic.computed_field
    def all(self) -> list[Street]:
        return [{"name": str(self.a)}]


@pydantic.dataclasses.dataclass
class ComputedInDataclass:
    a: int

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.a


@pytest.mark.parametrize("type", [ComputedList, ComputedInDataclass])
def test_a_computed_field_is_not_kept(type: Any) -> None:
    assert Codec(type).encode(type(a=1)) == b'{"a":1}'
    assert list(Codec(type).schema()["properties"]) == ["a"]
