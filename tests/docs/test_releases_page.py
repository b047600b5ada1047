"""Tests of docs/releases.md: each extra for users is tried, and its tests exist."""

from __future__ import annotations

import re
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.docs.test_claims_page import exists

PAGE = (ROOT / "docs" / "releases.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"bench", "docs", "peers", "test"}
"""Extras for those who develop sagakit."""


@pytest.fixture(scope="module")
def extras() -> Any:
    """The script `.ci/extras`."""
    spec = spec_from_loader("extras", SourceFileLoader("extras", str(ROOT / ".ci" / "extras")))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_extra_for_users_is_tried_in_an_empty_environment(extras: Any) -> None:
    assert set(extras.PROGRAMS) - {""} == set(PROJECT["optional-dependencies"]) - OURS


def test_the_page_tries_each_python_that_the_package_names() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert f"`.ci/extras {' '.join(named)}`" in PAGE


def test_the_table_is_that_of_this_release_and_each_extra_runs_under_each_python(extras: Any) -> None:
    table = PAGE.partition(extras.BEGIN)[2].partition(extras.END)[0]
    (version,) = re.findall(r"^sagakit (\S+), 20\d\d-\d\d-\d\d:$", table, flags=re.MULTILINE)
    heading, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert version == PROJECT["version"] or "dev" in PROJECT["version"], "run the script again"
    assert heading[2:-1] == pythons
    assert [row[0].strip("`") for row in rows] == [extra or "none" for extra in extras.PROGRAMS]
    assert {cell for row in rows for cell in row[2:-1]} == {"runs"}
    assert [row[0] for row in rows if row[-1] == "runs"] == ["none"]


def test_the_table_is_written_between_its_marks(
    extras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{extras.BEGIN}old\n{extras.END}after\n")
    monkeypatch.setattr(extras, "PAGE", page)
    rows = dict.fromkeys(extras.PROGRAMS, ("", "no `x`. Did you mean: 'y'?")) | {"": ("", "")}
    monkeypatch.setattr(
        extras, "under", lambda version: rows | {"sql": ("it fails", "")} if version == "3.12" else rows
    )
    with pytest.raises(SystemExit) as ended:
        extras.main(["3.11", "3.12"])
    before, *lines, after = page.read_text().splitlines()
    assert (ended.value.code, before, after) == (True, "before", "after")
    assert "| `embedded` | a saga on a nats-server of its own | runs | runs | `` no `x` `` |" in lines
    assert "| `sql` | `sagakit sql` | runs | it fails | `` no `x` `` / runs |" in lines
    assert capsys.readouterr().out.splitlines() == lines[1:-1]


def test_the_tests_of_the_promises_exist() -> None:
    named = re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", PAGE)
    assert len(named) > 3
    assert [name for name in named if not exists(name)] == []
