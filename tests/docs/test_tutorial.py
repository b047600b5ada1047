"""The pages of the tutorial show the programs of examples/tutorial, and what these print."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from trio.testing import MockClock

from tests.docs.blocks import ROOT, blocks

PROGRAMS = ROOT / "examples" / "tutorial"
PAGES = sorted((ROOT / "docs" / "tutorial").glob("step*.md"))
STEPS = [page.stem for page in PAGES]
WAITING = "step5"
"""The step whose program waits for seconds; here it runs under virtual time."""
ALONE = [step for step in STEPS if not (PROGRAMS / step / "book.py").exists()]
"""The steps of a single program; test_tutorial_processes.py runs the others."""
ORDER = ("trips.py", "flights.py", "book.py")
"""The order in which a page shows the programs of its step."""


def program(step: str) -> Any:
    return import_module(f"examples.tutorial.{step}.trips")


def printed(step: str) -> str:
    (text,) = blocks(ROOT / "docs" / "tutorial" / f"{step}.md", "text")
    return text


def test_each_program_has_a_page_and_leads_to_the_next() -> None:
    assert sorted(path.parent.name for path in PROGRAMS.glob("*/trips.py")) == STEPS
    following = [re.findall(r"^Next: \[.+\]\((.+)\.md\)\.$", page.read_text(), flags=re.MULTILINE) for page in PAGES]
    assert following == [*([step] for step in STEPS[1:]), []]


@pytest.mark.parametrize("step", STEPS)
def test_a_page_shows_the_whole_programs(step: str) -> None:
    files = sorted((path for path in (PROGRAMS / step).glob("[a-z]*.py")), key=lambda path: ORDER.index(path.name))
    assert blocks(ROOT / "docs" / "tutorial" / f"{step}.md", "python") == [path.read_text() for path in files]


@pytest.mark.parametrize("step", [step for step in ALONE if step != WAITING])
def test_a_program_prints_what_its_page_shows(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    program(step).main("memory:")
    assert capsys.readouterr().out == printed(step)


async def test_the_program_that_waits_prints_what_its_page_shows(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await program(WAITING).work("memory:")
    assert capsys.readouterr().out == printed(WAITING)
