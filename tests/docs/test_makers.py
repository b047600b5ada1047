"""The programs that write files of the repository: asked what they do, they say so and write nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT

MAKERS = (
    ["-m", "tests.compat"],
    ["docs/generate.py"],
    ["-m", "tests.docs.diagrams"],
    ["-m", "tests.web.pictures"],
    ["-m", "examples.orders.make_orders"],
)


@pytest.mark.parametrize("program", MAKERS, ids=" ".join)
def test_a_maker_of_files_tells_what_it_does_and_refuses_words_that_it_does_not_know(program: list[str]) -> None:
    for word, code in (("--help", 0), ("--everything", 2)):
        done = subprocess.run([sys.executable, *program, word], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert (done.returncode, "usage: " in done.stdout + done.stderr) == (code, True), done.stderr
