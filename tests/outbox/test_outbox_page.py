"""Tests of docs/outbox.md: its programs print its texts, and its SQL and its metrics are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from sagakit import outbox

from tests.docs.blocks import ROOT, blocks
from tests.sagas import BookTrip
from tests.type_checkers import mypy

PAGE = ROOT / "docs" / "outbox.md"


def test_the_programs_of_the_page_print_its_texts(tmp_path: Path) -> None:
    programs = [block for block in blocks(PAGE, "python") if block.startswith(("import", "from"))]
    texts = blocks(PAGE, "text")
    assert len(programs) == len(texts) == 2
    for number, (program, expected) in enumerate(zip(programs, texts, strict=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "program.py").write_text(program)
        command = [sys.executable, "-W", "error", "program.py"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_the_parts_of_programs_are_checked_by_mypy(tmp_path: Path) -> None:
    first, serve, second, mend = blocks(PAGE, "python")
    head = "import asyncio\nfrom functools import partial\nimport psycopg\nimport sagakit.asyncio\n"
    (tmp_path / "first.py").write_text(first)
    (tmp_path / "parts.py").write_text(f"{head}from sagakit import outbox\nfrom first import PlaceOrder\n{serve}{mend}")
    (tmp_path / "second.py").write_text(second)
    done = mypy(tmp_path, ["first.py", "parts.py", "second.py"])
    assert done.returncode == 0, done.stdout


def test_the_sql_of_the_page_is_that_of_the_code() -> None:
    assert blocks(PAGE, "sql") == [outbox.table_sql("postgresql"), outbox.table_sql("sqlite")]


def test_the_metrics_of_the_page_are_those_of_a_relay() -> None:
    rows = re.findall(r"^\| `(outbox_\w+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    assert rows == list(outbox.Relay(print, sagas=[BookTrip]).metrics())
