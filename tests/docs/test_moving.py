"""The saga of docs/moving.md does what the page says; the programs of other tools can at least be parsed."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sagakit import Completed, Failed, Reject, open_runtime
from trio.testing import MockClock

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "moving.md"


class Services:
    """A hotel and a bank that know their calls by the keys."""

    def __init__(self) -> None:
        self.rooms: dict[str, str] = {}

    async def hold_room(self, city: str, *, key: str) -> str:
        return self.rooms.setdefault(key, f"room in {city}")

    async def free_room(self, *, key: str) -> None:
        self.rooms.pop(key)

    async def charge(self, cents: int, *, key: str) -> str:
        if cents > 100:
            raise Reject("no_money")
        return f"charged {cents}"


async def test_the_saga_holds_a_room_and_frees_it_when_the_card_is_refused(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = blocks(PAGE, "python")
    (tmp_path / "moving.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    moving: Any = import_module("moving")
    book_trip, trip, services = moving.BookTrip, moving.Trip, Services()
    async with open_runtime("memory:", sagas=[book_trip(services)]) as runtime:
        assert await runtime.execute(book_trip, "rome", trip("Rome", 90)) == Completed("charged 90")
        refused = await runtime.execute(book_trip, "oslo", trip("Oslo", 900))
    assert isinstance(refused, Failed)
    assert (refused.code, refused.compensated) == ("no_money", ("room",))
    assert list(services.rooms.values()) == ["room in Rome"]


def test_the_programs_of_other_tools_can_be_parsed() -> None:
    programs = blocks(PAGE, "py")
    assert len(programs) == 3
    for text in programs:
        ast.parse(text)
