"""Tests of docs/releases.md: each extra for users is tried, and its tests exist."""

from __future__ import annotations

import re
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

import pytest

from tests.docs.test_claims_page import exists
from tests.docs.test_docs import ROOT

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


def test_the_tests_of_the_promises_exist() -> None:
    named = re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", PAGE)
    assert len(named) > 3
    assert [name for name in named if not exists(name)] == []
