"""The page of the command line: it names each operator command, options that exist, and the exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from sagakit.cli.lazy_group import LATER
from typer.testing import CliRunner

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
TABLE = re.findall(r"^\| .* \| `sagakit ([\w-]+)` \|$", PAGE, flags=re.MULTILINE)


def test_the_page_names_each_operator_command() -> None:
    assert sorted(TABLE) == sorted(LATER)


@pytest.mark.parametrize("name", LATER)
def test_the_help_of_a_command_begins_like_its_line_in_the_list(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert " ".join(LATER[name][1].split()[:2]) in done.stdout


def test_the_options_on_the_page_exist() -> None:
    everywhere = " ".join(CliRunner().invoke(app, [name, "--help"]).stdout for name in LATER)
    for option in re.findall(r"--[a-z][a-z-]+", PAGE):
        assert f"{option} " in everywhere, option


def test_the_exit_codes_on_the_page_are_those_of_the_code() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \| ", PAGE, flags=re.MULTILINE)}
    assert codes - {130} <= {int(code) for code in CommandExit}
    assert {CommandExit.NOT_APPLIED, CommandExit.UNKNOWN_SAGA, CommandExit.USAGE} <= codes


def test_the_help_of_everything_imports_no_operator_command() -> None:
    program = (
        "import sys; from sagakit.cli.app import app; from typer.testing import CliRunner;"
        "out = CliRunner().invoke(app, ['--help']).stdout; assert 'complete-step' in out;"
        "print(sorted(name for name in sys.modules if name.startswith('sagakit.cli.') and name.endswith('commands')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
