"""Values come out of a record as they went in, or they are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, nan
from typing import Any, ClassVar

import msgspec
import pytest
from sagakit import Context, Saga, step
from sagakit.definition import Codec, compiled
from sagakit.errors import DoesNotFit, InvalidInput, UnreadableValue, Unwritable


@dataclass
class Price:
    amount: float
    before: float | None = None


class Tree(msgspec.Struct):
    weight: float | None = None
    leaves: list[Tree] = []


@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize(
    ("type", "make"),
    [
        (float, lambda bad: bad),
        (float | None, lambda bad: bad),
        (Any, lambda bad: {"a": [1, (bad,)]}),
        (dict[str, float | None], lambda bad: {"a": None, "b": bad}),
        (list[Price], lambda bad: [Price(1.0), Price(1.0, bad)]),
        (Price, Price),
        (Tree, lambda bad: Tree(1.0, [Tree(), Tree(2.0, [Tree(bad)])])),
        (dict[int, tuple[float | None, ...]], lambda bad: {1: (1.0, bad)}),
    ],
)
def test_what_is_not_finite_is_refused(type: Any, make: Any, bad: float) -> None:
    with pytest.raises(
        Unwritable, match=f"{bad} is not a JSON number, and would be kept as null: use None or a text instead"
    ):
        Codec(type).encode(make(bad))


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (float | None, None),
        (Price, Price(1.0)),
        (list[Price], [Price(1e308, 5e-324)]),
        (Tree, Tree(None, [Tree(1.5)])),
        (dict[str, float | None], {"null": 1.0}),
        (dict[float, int | None], {0.5: None}),
        (bytes | float | None, 2.0),
        (Any, {"a": [None, "null", 1.5]}),
        (Any, {"1": None, "2": [1.5, None]}),
    ],
)
def test_what_is_finite_comes_back(type: Any, value: object) -> None:
    codec = Codec(type)
    assert codec.decode(codec.encode(value)) == value


def test_raw_json_is_left_alone() -> None:
    assert Codec(Any).encode({"a": msgspec.Raw(b"1.5"), "b": None}) == b'{"a":1.5,"b":null}'


def test_an_input_that_is_not_finite_is_the_callers_mistake() -> None:
    class Quote(Saga[Price]):
        @step(compensate=None)
        async def ask(self, price: Price, ctx: Context) -> None: ...

    with pytest.raises(InvalidInput, match=r"Quote: not an input of type .*Price: nan is not a JSON number"):
        compiled(Quote).encode_input(Price(1.0, nan))


# ------------------------------------------------------- what the type's own code raises


class Stop(BaseException):
    pass


class Moody(msgspec.Struct):
    """Reads well until it is told what to raise."""

    word: str = ""
    raises: ClassVar[BaseException | None] = None

    def __post_init__(self) -> None:
        if Moody.raises is not None:
            raise Moody.raises


@pytest.fixture(params=[KeyError("XXX"), SystemExit("no"), Stop(), MemoryError()], ids=repr)
def raised(request: pytest.FixtureRequest) -> Iterator[BaseException]:
    Moody.raises = request.param
    yield request.param
    Moody.raises = None


def test_whatever_a_type_raises_is_one_error_that_names_it(raised: BaseException) -> None:
    codec = Codec(list[Moody], "Pay.input")
    calls: list[tuple[type[DoesNotFit], Callable[[], object]]] = [
        (UnreadableValue, lambda: codec.decode(b"[{}]")),
        (UnreadableValue, lambda: codec.same(b"[{}]", b"[ {} ]")),
        (Unwritable, lambda: codec.encode([MADE])),
    ]
    for kind, call in calls:
        with pytest.raises(kind, match=r"Pay\.input cannot be (read|kept) as list\[.*Moody\]: ") as caught:
            call()
        assert caught.value.__cause__ is raised
        assert (caught.value.reason, caught.value.path) == (repr(raised), None)


MADE = Moody()


def test_where_a_value_does_not_fit_is_known() -> None:
    with pytest.raises(UnreadableValue) as caught:
        Codec(dict[str, Price]).decode(b'{"a": {"amount": "much"}}')
    assert (caught.value.type, caught.value.path) == ("dict[str, tests.definition.test_codec.Price]", "$[...].amount")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), BaseExceptionGroup("both", [KeyboardInterrupt(), Stop()])])
def test_what_concerns_the_whole_program_passes(interrupt: BaseException) -> None:
    Moody.raises = interrupt
    try:
        for call in (lambda: Codec(Moody).decode(b"{}"), lambda: Codec(Moody).encode(MADE)):
            with pytest.raises(type(interrupt)):
                call()
    finally:
        Moody.raises = None


def test_no_json_at_all_is_null() -> None:
    assert Codec(int | None).decode(msgspec.Raw()) is None
    with pytest.raises(UnreadableValue, match="Expected `int`, got `null`"):
        Codec(int).decode(msgspec.Raw())


def nested(levels: int) -> Any:
    value: Any = '[[[ {{{ \\" ]'
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_a_value_is_nested_only_as_deeply_as_it_can_be_read_from_any_stack() -> None:
    codec = Codec(Any)
    assert codec.decode(codec.encode(nested(500))) == nested(500)
    assert codec.encode([nested(3)] * 600)
    for deep in (nested(501), [[], nested(500)]):
        with pytest.raises(Unwritable, match="more than 500 levels deep"):
            codec.encode(deep)


def test_a_value_that_contains_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(Unwritable, match="it contains itself, or is nested too deeply"):
        Codec(Any).encode({"ring": ring})
