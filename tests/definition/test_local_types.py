"""Types that are local to a function or a class body are found where Python would find them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from sagakit import DefinitionError
from sagakit.definition import compiled

from tests.definition.mistakes import load


def test_a_type_that_is_defined_further_down_is_found_at_first_use(tmp_path: Path) -> None:
    module = load(
        tmp_path,
        "class S(Saga[str]):\n"
        "    @step(compensate=None)\n"
        "    async def pay(self, order: str, ctx: Ctx) -> Paid: ...\n"
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
        "        async def pay(self, order: str, ctx: Ctx) -> Paid: ...\n"
        "    return S\n"
        "S = make()\n",
    )
    assert "pay" in module.S.diagram()


def test_types_that_are_nested_in_the_class_body(tmp_path: Path) -> None:
    body = """
        class S(Saga[str, int]):
            Names = list[str]

            @step(compensate=None)
            async def line(self, order: str, ctx: Ctx) -> Line: ...

            @dataclass
            class Line:
                value: int

            @step(line, compensate=None)
            async def names(self, order: str, line: Line, ctx: Ctx) -> Names: ...

            def output(self, input: str, ctx: Ctx) -> Line: ...
    """
    source = dedent(body)
    with pytest.raises(DefinitionError, match=r"S\.output: returns S\.Line, but the output type is int"):
        load(tmp_path, source)
    found = load(tmp_path, source.replace("input: str, ctx: Ctx) -> Line", "input: str, ctx: Ctx) -> int"))
    assert [node.result_type for node in compiled(found.S).plan.nodes] == ["S.Line", "list[str]"]


def test_a_type_that_a_local_type_cannot_see_is_told_with_the_reason(tmp_path: Path) -> None:
    source = """
        def make() -> type:
            @dataclass
            class Line:
                value: int
            @dataclass
            class Bill:
                lines: list[Line]
            class S(Saga[Bill]):
                @step(compensate=None)
                async def pay(self, bill: Bill, ctx: Ctx) -> Line: ...
            return S
    """
    module = load(tmp_path, dedent(source))
    with pytest.raises(DefinitionError, match="Line is not known at run time: fields of a class that is defined in a"):
        compiled(module.make())
