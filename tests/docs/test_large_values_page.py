"""The program of docs/large-values.md: a value that fits into no message is an input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import ROOT, blocks

(PROGRAM,) = blocks(ROOT / "docs" / "large-values.md", "python")


def test_the_program_prints_what_its_page_says(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-W", "error", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "Completed(output=1000)\n"), done.stderr
