"""Tests of docs/errors.md: each error that a program can meet has its place there, and says it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sagakit.projection  # noqa: F401  # its error is in the tree, too
from sagakit.cli.exits import UsageError
from sagakit.cli.printing import OutputFormat, print_error
from sagakit.errors import SagakitError, StoreFull

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
    [(StoreFull("full"), "full\nsee docs/errors.md#storefull\n"), (UsageError("no such flag"), "no such flag\n")],
)
def test_a_command_prints_the_place_of_an_error(
    error: Exception, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_error(error, 1, OutputFormat.table)
    assert capsys.readouterr().err == shown
