"""Tests of docs/sagas.md: its program has the fault that the page says, and its words are those of the code."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from sagakit.definition.plan import OnUnknown

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "sagas.md"


class Declined(Exception):
    """The bank does not take the money."""


class Service:
    """A service that writes down its calls, and whose charge ends as it is told."""

    def __init__(self, calls: list[str], ends: BaseException | None = None) -> None:
        self.calls = calls
        self.ends = ends

    async def hold(self, order: str) -> str:
        self.calls.append("hold")
        return "held"

    async def give_back(self, held: str) -> None:
        self.calls.append("give back")

    async def charge(self, order: str) -> None:
        self.calls.append("charge")
        if self.ends is not None:
            raise self.ends


@pytest.mark.parametrize(
    ("ends", "calls"),
    [
        (None, ["hold", "charge"]),
        (Declined(), ["hold", "charge", "give back"]),
        (TimeoutError(), ["hold", "charge"]),  # in doubt: the goods stay held, and nobody knows
    ],
)
async def test_the_program_without_a_saga_forgets_a_doubt(ends: BaseException | None, calls: list[str]) -> None:
    (program,) = blocks(PAGE, "python")
    found: list[str] = []
    names: dict[str, Any] = {"Declined": Declined, "stock": Service(found), "bank": Service(found, ends), "Order": str}
    exec(program, names)
    if ends is None or isinstance(ends, Declined):
        await names["place_order"]("order")
    else:
        with pytest.raises(TimeoutError):
            await names["place_order"]("order")
    assert found == calls


def test_the_page_has_each_way_to_resolve_a_doubt() -> None:
    shown = re.findall(r'^\| `on_unknown="(\w+)"` \|', PAGE.read_text(), flags=re.MULTILINE)
    assert {*shown, "retry"} == set(get_args(OnUnknown))
