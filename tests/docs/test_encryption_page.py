"""The programs of docs/encryption.md: values are sealed at rest, and a codec of a user's own gives them back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from sagakit import PayloadPlace

from tests.docs.blocks import ROOT, blocks

PROGRAM, CODEC = blocks(ROOT / "docs" / "encryption.md", "python")


def test_the_program_runs_and_the_stored_input_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-W", "error", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    outcome, stored = done.stdout.splitlines()
    assert outcome == "Completed(output='Hello Ann')"
    assert "$sealed" in stored
    assert "Ann" not in stored


def test_the_codec_of_the_page_gives_back_what_it_has_sealed() -> None:
    names: dict[str, Any] = {}
    exec(CODEC, names)
    codec, place = names["Reversed"](), PayloadPlace("Greet", "1", "input", "0" * 16)
    sealed = codec.encode(b"abc", place)
    assert (sealed.data, codec.decode(sealed, place)) == (b"cba", b"abc")
