"""Tests of docs/errors.md: each error that a program can meet has its place there, and says it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sagakit.projection  # noqa: F401  # its error is in the tree, too
from sagakit.cli.app import app
from sagakit.cli.exits import UsageError
from sagakit.cli.explaining import explanations
from sagakit.cli.printing import OutputFormat, print_error
from sagakit.errors import SagakitError, StoreFull
from typer.testing import CliRunner

from tests.docs.blocks import ROOT

INSIDE = ("sagakit.binding.", "sagakit.system.")
"""Packages whose errors no caller meets."""


def below(error: type[SagakitError]) -> Iterator[type[SagakitError]]:
    """Yield an error and all that derive from it."""
    yield error
    for child in error.__subclasses__():
        yield from below(child)


def test_each_error_has_its_place_on_the_page() -> None:
    public = [error for error in below(SagakitError) if error.__module__.startswith("sagakit.")]
    public = [error for error in public if not error.__module__.startswith(INSIDE)]
    assert len(public) > 40
    page, _, _ = StoreFull().docs_page.partition("#")
    shown = re.findall(r"^### (\w+)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    assert sorted(shown) == sorted({error.__name__ for error in public})
    for error in public:
        assert error.__new__(error).docs_page == f"{page}#{error.__name__.lower()}"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (StoreFull("full"), "full\ncause and cure: sagakit explain StoreFull\n"),
        (UsageError("no such flag"), "no such flag\n"),
    ],
)
def test_a_command_prints_the_command_that_explains_an_error(
    error: Exception, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_error(error, 1, OutputFormat.table)
    assert capsys.readouterr().err == shown


def test_an_installed_user_gets_what_the_page_says_of_each_error() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    for one in explanations():
        done = CliRunner().invoke(app, ["explain", one.name.lower()])
        assert done.exit_code == 0, done.stderr
        section = page.partition(f"### {one.name}\n")[2].partition("\n### ")[0]
        words = re.sub(r"[`\[\]-]|\(#\w+\)", "", section).replace("Base:", "A kind of").split()
        assert re.sub(r"[`\[\]-]", "", done.stdout).split() == [one.name, *words]


def test_an_error_that_is_not_known_is_answered_by_the_one_that_was_meant() -> None:
    done = CliRunner().invoke(app, ["explain", "StorFull"], env={"COLUMNS": "200"})
    assert (done.exit_code, "did you mean StoreFull? `sagakit explain` lists all" in done.stderr) == (2, True)
    assert "StoreFull" in CliRunner().invoke(app, ["explain"]).stdout
