"""Type checkers say little, and of the right thing, about a wrong option, a misspelled one and a wrong parameter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.type_checkers import ROOT, mypy

HEAD = """
from __future__ import annotations
from sagakit import Context, Saga, step

class S(Saga[int]):
    @step(compensate=None)
    async def a(self, i: int, ctx: Context) -> str: ...
"""
MISTAKES = {
    "timeout": ("@step(timeout=5)", "", '"int"', "timeout"),
    "timeout_with_a_dependency": ("@step(a, timeout=5)", "a: str, ", '"int"', "timeout"),
    "retry": ("@step(retry=3)", "", '"int"', "retry"),
    "after": ("@step(after=a)", "", '"Step[S, int, str]"', "after"),
    "misspelt": ("@step(a, pivoted=True)", "a: str, ", 'did you mean "pivot"', "step"),
    "dependency": (
        "@step(a)",
        "a: int, ",
        'expected "Callable[[S, int, str, Context]',
        'type "str" is incompatible with',
    ),
}
"""A decorator, the parameters below it, and what mypy and pyright say."""
NOTES = 7
"""The overloads of `step`, and a line above them: mypy prints them all."""


def programs(folder: Path) -> None:
    """Write a program for each mistake."""
    for name, (decorator, parameters, _, _) in MISTAKES.items():
        method = f"    {decorator}\n    async def b(self, i: int, {parameters}ctx: Context) -> str: ...\n"
        (folder / f"{name}.py").write_text(HEAD + method)


def by_mistake(text: str) -> dict[str, list[str]]:
    """Return the lines that a checker printed, by the mistake."""
    found: dict[str, list[str]] = {name: [] for name in MISTAKES}
    of = ""
    for line in text.splitlines():
        of = next((name for name in MISTAKES if f"{name}.py:" in line), of)
        if of and "empty-body" not in line and not line.startswith(("/", "Found")):
            found[of].append(line)
    return found


@pytest.fixture(scope="module")
def mypys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("mypy")
    programs(folder)
    return by_mistake(mypy(folder, [f"{one}.py" for one in MISTAKES]).stdout)


@pytest.fixture(scope="module")
def pyrights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("pyright")
    programs(folder)
    (folder / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT / "actors"}", "{ROOT / "runtime"}"]}}')
    command = [sys.executable, "-m", "pyright", f"--pythonpath={sys.executable}", "-p", "."]
    return by_mistake(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout)


@pytest.mark.parametrize("name", MISTAKES)
def test_mypy_says_what_is_wrong_and_little_more(mypys: dict[str, list[str]], name: str) -> None:
    lines = mypys[name]
    assert MISTAKES[name][2] in lines[0]
    assert len([line for line in lines if ": note:" in line]) <= NOTES


@pytest.mark.parametrize("name", MISTAKES)
def test_pyright_says_what_is_wrong_and_little_more(pyrights: dict[str, list[str]], name: str) -> None:
    lines = pyrights[name]
    assert MISTAKES[name][3] in "\n".join(lines)
    assert len(lines) <= 5
