"""Tests of a newcomer's first steps: `make help`, the hooks before a commit, the fragments of the changelog."""

from __future__ import annotations

import re
import subprocess
import tomllib

from tests.docs.blocks import ROOT


def test_make_help_names_each_target() -> None:
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert sorted(shown) == sorted(targets.split())
    alone = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert alone.stdout == done.stdout


def test_the_hooks_before_a_commit_download_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"^ *- repo: (.*)$", text, flags=re.MULTILINE)) == {"local"}
    assert "http" not in text


def test_each_newsfragment_is_of_a_kind_that_the_changelog_has() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    for path in (ROOT / settings["directory"]).iterdir():
        assert re.fullmatch(rf"\+[a-z0-9-]+\.({kinds})\.md", path.name), f"{path.name}: +topic.({kinds}).md"
        assert path.read_text().strip(), f"{path.name} is empty"
        listed = re.findall(r"^(?:[-*+] |\d+\. ).*", path.read_text(), flags=re.MULTILINE)
        assert listed == [], f"{path.name}: the changelog makes the list, and takes this line for a list in it"


def test_the_map_of_the_tests_is_complete_and_the_files_of_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:runtime|tests|docs|newsfragments)/[\w/.-]+\.(?:py|md))`", text))
    assert [path for path in named if not (ROOT / path).exists()] == []
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/__init__.py")}
    assert folders <= set(re.findall(r"`(tests/\w+)`", text))


def steps_of_recipes() -> list[str]:
    """Return the numbered steps of all recipes of CONTRIBUTING.md, each in one line."""
    recipes = (ROOT / "CONTRIBUTING.md").read_text().partition("## Recipes")[2]
    found = re.findall(r"^\d+\. (.*?)(?=\n\d+\. |\n\n)", recipes, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(step.split()) for step in found]


def test_the_names_of_a_recipe_are_in_the_files_of_their_step() -> None:
    steps = steps_of_recipes()
    assert len(steps) > 30
    lost: list[str] = []
    for step in steps:
        texts = [(ROOT / path).read_text() for path in re.findall(r"`((?:runtime|tests|docs)/[\w/-]+\.\w+)`", step)]
        names = re.findall(r"`([A-Za-z_]\w*)`", step) if texts else []
        lost += [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in texts)]
        for named, path in re.findall(r"((?:`\w+`(?: and |, ))*`\w+`) of `([\w/]+\.py)`", step):
            text = (ROOT / path).read_text()
            lost += [
                f"{name} of {path}" for name in re.findall(r"`(\w+)`", named) if not re.search(rf"\b{name}\b", text)
            ]
    assert lost == []
