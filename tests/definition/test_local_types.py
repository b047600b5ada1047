"""Types that are local to a function or a class body are found where Python would find them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from sagakit import DefinitionError
from sagakit.definition import compiled
from sagakit.errors import UnreadableValue

from tests.definition.mistakes import load


def test_a_type_that_is_defined_further_down_is_found_at_first_use(tmp_path: Path) -> None:
    module = load(
        tmp_path,
        "class S(Saga[str]):\n"
        "    @step(compensate=None)\n"
        "    async def pay(self, order: str, ctx: Context) -> Paid: ...\n"
        "@dataclass\nclass Paid:\n    ref: str\n",
    )
    assert "pay" in module.S.diagram()


def test_types_local_to_a_function(tmp_path: Path) -> None:
    module = load(
        tmp_path,
        "def make():\n"
        "    @dataclass\n    class Paid:\n        ref: str\n"
        "    class S(Saga[str]):\n"
        "        @step(compensate=None)\n"
        "        async def pay(self, order: str, ctx: Context) -> Paid: ...\n"
        "    return S\n"
        "S = make()\n",
    )
    assert "pay" in module.S.diagram()


def test_types_that_are_nested_in_the_class_body(tmp_path: Path) -> None:
    body = """
        class S(Saga[str, int]):
            Names = list[str]

            @step(compensate=None)
            async def line(self, order: str, ctx: Context) -> Line: ...

            @dataclass
            class Line:
                value: int

            @step(line, compensate=None)
            async def names(self, order: str, line: Line, ctx: Context) -> Names: ...

            def output(self, input: str, ctx: Context) -> Line: ...
    """
    source = dedent(body)
    with pytest.raises(DefinitionError, match=r"S\.output: returns S\.Line, but the output type is int"):
        load(tmp_path, source)
    found = load(tmp_path, source.replace("input: str, ctx: Context) -> Line", "input: str, ctx: Context) -> int"))
    assert [node.result_type for node in compiled(found.S).plan.nodes] == ["S.Line", "list[str]"]


LOCAL = """
def make() -> type:
    @dataclass
    class Line:
        value: int
    class Detail(TypedDict):
        line: Line
    @dataclass
    class Base:
        first: Line
    @dataclass
    class Bill(Base):
        lines: list[Line]
        by_name: dict[str, Line | None]
        detail: Detail
        pair: Pair
        limited: Annotated[int, msgspec.Meta(ge=1)] = 1
    class Pair(NamedTuple):
        line: Line
        struct: Inner
    class Inner(msgspec.Struct):
        line: Line
        next: Inner | None = None
    def deeper() -> type:
        class S(Saga[Bill, list[Bill]]):
            paid = signal(Bill)
            @step(compensate=None)
            async def pay(self, bill: Bill, ctx: Context) -> Inner: ...
            @each(lambda bill, ctx: bill.lines, compensate=None)
            async def send(self, bill: Bill, line: Bill, ctx: Context) -> Pair: ...
            def output(self, bill: Bill, ctx: Context) -> list[Bill]: ...
        return S
    return deeper()
S = make()
"""


def test_local_types_that_name_each_other_are_found(tmp_path: Path) -> None:
    saga = load(tmp_path, LOCAL).S
    given = (
        b'{"first":{"value":1},"lines":[{"value":2}],"by_name":{"a":null},"detail":{"line":{"value":3}},'
        b'"pair":[{"value":4},{"line":{"value":5},"next":null}],"limited":7}'
    )
    codec = compiled(saga).input
    assert codec.encode(codec.decode(given)) == given
    with pytest.raises(UnreadableValue):
        codec.decode(given.replace(b"7", b"0"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            """
            def types() -> type:
                @dataclass
                class Line:
                    value: int
                @dataclass
                class Bill:
                    lines: list[Line]
                return Bill
            Bill = types()
            class S(Saga[Bill]):
                rest = timer(timedelta(1))
            """,
            r"Line is not known at run time: it is named by a field of types\.<locals>\.Bill, and S is not defined in",
        ),
        (
            """
            def make() -> type:
                @dataclass
                class Bill:
                    lines: list[Line]
                class S(Saga[Bill]):
                    @step(compensate=None)
                    async def pay(self, bill: Bill, ctx: Context) -> None: ...
                class Line: ...
                return S
            S = make()
            """,
            "Line is not known at run time: a field of a class that is defined in a function may name types above",
        ),
        (
            """
            class Around:
                class Line(msgspec.Struct):
                    value: int
                class Bill(msgspec.Struct):
                    lines: list[Line]
            class S(Saga[Around.Bill]):
                rest = timer(timedelta(1))
            """,
            r"Line is not known at run time: a class does not see the names of the class around it: write Around\.",
        ),
    ],
    ids=["another function", "below the saga", "the class around it"],
)
def test_a_type_that_a_field_cannot_name_is_told_with_the_reason(source: str, says: str, tmp_path: Path) -> None:
    module = load(tmp_path, dedent(source))
    with pytest.raises(DefinitionError, match=says):
        compiled(module.S)


def test_a_class_in_a_class_may_name_its_sister_in_full(tmp_path: Path) -> None:
    source = """
        class Around:
            class Line(msgspec.Struct):
                value: int
            class Bill(msgspec.Struct):
                lines: list[Around.Line]
        class S(Saga[Around.Bill]):
            rest = timer(timedelta(1))
    """
    assert compiled(load(tmp_path, dedent(source)).S).input.decode(b'{"lines":[{"value":1}]}')
