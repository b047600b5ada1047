"""The page of the command line: it names each operator command, options that exist, and the exit codes."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from sagakit.cli.lazy_group import HOMES, LATER, OTHERS
from sagakit.cli.letter_commands import dead_letters
from typer.testing import CliRunner

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
TABLE = re.findall(r"^\| .* \| `sagakit ([\w-]+)` \|$", PAGE, flags=re.MULTILINE)


def test_the_page_names_each_operator_command() -> None:
    assert sorted(TABLE) == sorted(LATER)


@pytest.mark.parametrize("name", HOMES)
def test_the_help_of_a_command_begins_like_its_line_in_the_list(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert " ".join({**LATER, **OTHERS}[name][1].split()[:2]) in done.stdout


@pytest.mark.parametrize("module", sorted(set(HOMES.values())))
def test_each_command_of_a_module_is_in_the_list(module: str) -> None:
    found = typer.main.get_group(import_module(f"sagakit.cli.{module}").commands).commands
    assert sorted(found) == sorted(name for name, home in HOMES.items() if home == module)


def test_the_options_on_the_page_exist() -> None:
    of_letters = [("dead-letters", name) for name in typer.main.get_group(dead_letters).commands]
    everywhere = " ".join(CliRunner().invoke(app, [*name, "--help"]).stdout for name in [(), *zip(HOMES), *of_letters])
    for option in re.findall(r"--[a-z][a-z-]+", PAGE):
        assert f"{option} " in everywhere, option


def test_the_exit_codes_on_the_page_are_those_of_the_code() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \| ", PAGE, flags=re.MULTILINE)}
    assert codes - {130} <= {int(code) for code in CommandExit}
    assert {CommandExit.NOT_APPLIED, CommandExit.UNKNOWN_SAGA, CommandExit.USAGE} <= codes
