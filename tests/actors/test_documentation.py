"""The programs of docs/actors.md and of the package's docstring print what the text says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import sagakit_actors

from tests.docs.blocks import ROOT, blocks
from tests.type_checkers import mypy

PAGE = ROOT / "docs" / "actors.md"
PROGRAMS = list(zip(blocks(PAGE, "python"), blocks(PAGE, "text"), strict=True))
_BLOCK = re.search(r"(?:^    .*\n|^\n)+(?=The program prints)", sagakit_actors.__doc__ or "", re.MULTILINE)
assert _BLOCK is not None
PROGRAMS.append((dedent(_BLOCK[0]), "2\n5\n"))


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_prints_what_the_page_says(program: str, output: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(program)
    command = [sys.executable, "-W", "error", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_the_programs_are_checked_by_mypy(tmp_path: Path) -> None:
    for number, (program, _) in enumerate(PROGRAMS):
        (tmp_path / f"program{number}.py").write_text(program)
    done = mypy(tmp_path, sorted(path.name for path in tmp_path.iterdir()))
    assert done.returncode == 0, done.stdout
