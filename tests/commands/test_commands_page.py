"""Tests of docs/commands.md: its program runs, and prints its text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.child_lines import ChildLines
from tests.docs.blocks import ROOT, blocks
from tests.servers import running_server
from tests.type_checkers import mypy


def test_the_program_of_the_page_prints_its_text(tmp_path: Path) -> None:
    page = ROOT / "docs" / "commands.md"
    program, [text] = blocks(page, "python")[0], blocks(page, "text")
    (tmp_path / "program.py").write_text(program)
    with running_server(tmp_path / "nats") as server:
        command = [sys.executable, "program.py", server.url]
        popen = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = ChildLines(popen)
        try:
            assert [lines.next() for _ in text.splitlines()] == text.splitlines(keepends=True)
        finally:
            popen.kill()
            popen.communicate()


def test_the_programs_of_the_page_are_checked_by_mypy(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("\n\n".join(blocks(ROOT / "docs" / "commands.md", "python")))
    done = mypy(tmp_path, ["program.py"])
    assert done.returncode == 0, done.stdout
