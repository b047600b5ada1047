"""Tests of docs/remote-steps.md: its program prints its text, is typed, and its table has every answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from sagakit.engine import ReplyAnswer
from sagakit.participant import keys_table_sql

from tests.docs.blocks import ROOT, blocks
from tests.servers import Server
from tests.type_checkers import mypy

PAGE = ROOT / "docs" / "remote-steps.md"


def test_the_program_of_the_page_prints_its_text(server: Server, tmp_path: Path) -> None:
    (program, heartbeats, progress, keys), (expected,) = blocks(PAGE, "python"), blocks(PAGE, "text")
    assert run(tmp_path, program, server.url) == expected
    assert run(tmp_path, heartbeats) == run(tmp_path, progress) == ""
    assert run(tmp_path, keys) == keys_table_sql("postgresql") + "\n"


def run(folder: Path, program: str, *arguments: str) -> str:
    (folder / "buy.py").write_text(program)
    command = [sys.executable, "-W", "error", "buy.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_programs_of_the_page_are_checked_by_mypy(tmp_path: Path) -> None:
    names = ["buy.py", "print_book.py", "progress.py", "keys.py"]
    for name, program in zip(names, blocks(PAGE, "python"), strict=True):
        (tmp_path / name).write_text(program)
    done = mypy(tmp_path, names)
    assert done.returncode == 0, done.stdout


def test_the_page_lists_every_answer() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| [^|]+ \|$", PAGE.read_text(), flags=re.MULTILINE)
    assert set(rows) == set(get_args(ReplyAnswer))
