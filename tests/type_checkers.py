"""The type checkers, run on the programs of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".mypy_cache" / "programs"
"""The folder in which mypy keeps what it found out about sagakit and its libraries, for all tests of a run."""


def mypy(folder: Path, files: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run `mypy --strict` on the files of a folder, which may import the tests."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version=3.11", f"--cache-dir={CACHE}", *files]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
