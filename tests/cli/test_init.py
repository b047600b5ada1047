"""`sagakit init`: the project that it makes passes its own tests, and its demo runs, on this environment as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sagakit.cli import scaffold
from sagakit.cli.app import app
from typer.testing import CliRunner

from tests.docs.blocks import ROOT, blocks

TEMPLATES = ROOT / "runtime" / "sagakit" / "cli" / "project"


def make(folder: Path, *target: str) -> str:
    """Run `make` in a project with this Python, and return what it has printed."""
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT / "runtime"), str(ROOT / "actors")])}
    command = ["make", *target, f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=folder, env=os.environ | paths, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(*words: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def project(folder: Path, *options: str) -> Path:
    """Make a project with the command, lint it, and return its folder."""
    made = folder / "my-shop"
    done = CliRunner().invoke(app, ["init", "my-shop", "--folder", str(made), *options])
    assert done.exit_code == 0, done.output
    assert sorted(done.stdout.split()) == sorted(str(path) for path in made.rglob("*") if path.is_file())
    tool("ruff", "check", "--no-cache", "--isolated", "--line-length=120", "--select=E,F,I,UP,B", ".", folder=made)
    tool("ruff", "format", "--no-cache", "--isolated", "--line-length=120", "--check", ".", folder=made)
    return made


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
def test_the_project_passes_its_tests_and_its_demo_runs(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert not (folder / "my_shop" / "web.py").exists()
    assert " passed" in make(folder, "test")
    said = make(folder, "demo")
    assert "order-1: shipped" in said
    assert "order-3: card_declined, undone: reserve" in said
    assert "goods held, cards charged, parcels shipped: [4, 4, 4]" in said
    assert "no broken promise" in make(folder, "explore")


@pytest.mark.long
def test_the_project_with_a_service_is_the_same_project_and_its_service_passes_its_tests(tmp_path: Path) -> None:
    """The files that are in both projects are tested once, above."""
    folder = project(tmp_path / "with", "--fastapi")
    plain, served = files(project(tmp_path / "without")), files(folder)
    assert set(served) - set(plain) == {"my_shop/web.py", "tests/test_web.py"}
    assert {name for name in plain if plain[name] != served[name]} == {"Makefile", "README.md", "pyproject.toml"}
    assert served["Makefile"].startswith(plain["Makefile"].rstrip())
    assert " passed" in make(folder, "test", "PYTEST_ADDOPTS=--deselect tests/test_saga.py")


def test_no_word_of_a_template_is_left(tmp_path: Path) -> None:
    for file in scaffold.make_project(tmp_path / "shop", "shop", fastapi=True):
        text = file.read_text()
        assert "{{" not in text
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


def test_the_worker_of_the_project_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    scaffold.make_project(folder, "shop", fastapi=False)
    program = "from shop.worker import sagas\nwith sagas() as found: print(type(found[0]).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "PlaceOrder\n"


@pytest.mark.parametrize("name", ["", "1shop", "my shop", "../shop", "class", "json", "sagakit", "tests", "Test"])
def test_a_name_that_is_no_package_is_refused(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["init", name, "--folder", str(tmp_path / "shop")])
    assert done.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = CliRunner().invoke(app, ["init", "shop", "--folder", str(tmp_path)])
    assert done.exit_code == 2
    assert "is not an empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_folder_of_the_templates_holds_nothing_else() -> None:
    assert {path.suffix for path in TEMPLATES.rglob("*") if path.is_file()} == {".tmpl"}


def test_the_command_the_page_and_the_project_say_first_to_install_what_the_tests_need(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["init", "shop", "--folder", str(tmp_path / "shop")]).stderr
    shown = blocks(ROOT / "docs" / "cli.md", "console")[0]
    readme = (tmp_path / "shop" / "README.md").read_text()
    for text in (said, shown, readme):
        assert 0 < text.find("pip install -e '.[test]'") < text.find("make test"), text
