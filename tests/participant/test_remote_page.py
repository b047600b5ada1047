"""Tests of docs/remote-steps.md: its program prints its text, is typed, and its table has every answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from sagakit.engine import ReplyAnswer

from tests.docs.test_docs import ROOT, blocks
from tests.servers import Server
from tests.type_checkers import mypy

PAGE = ROOT / "docs" / "remote-steps.md"


def test_the_program_of_the_page_prints_its_text(server: Server, tmp_path: Path) -> None:
    (program,), (expected,) = blocks(PAGE, "python"), blocks(PAGE, "text")
    (tmp_path / "buy.py").write_text(program)
    command = [sys.executable, "-W", "error", "buy.py", server.url]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_the_program_of_the_page_is_checked_by_mypy(tmp_path: Path) -> None:
    (program,) = blocks(PAGE, "python")
    (tmp_path / "buy.py").write_text(program)
    done = mypy(tmp_path, ["buy.py"])
    assert done.returncode == 0, done.stdout


def test_the_page_lists_every_answer() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| [^|]+ \|$", PAGE.read_text(), flags=re.MULTILINE)
    assert set(rows) == set(get_args(ReplyAnswer))
