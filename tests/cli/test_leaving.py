"""Tests of a command's end: the process ends at once, with its code, after all that it has to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys

class Freed:
    def __del__(self, write=sys.__stdout__.write):
        write("freed\\n")

kept = Freed()
atexit.register(print, "exit function")
{before}
sys.argv = ["sagakit", *{words!r}]
from sagakit.cli import run
run()
"""
WAITS = "import threading as t; t.Thread(target=t.main_thread().join, args=(30,)).start()"


def ended(words: list[str], before: str = "") -> tuple[int, list[str]]:
    """Return the exit code of a command, and the last lines that its process has printed."""
    program = PROGRAM.format(before=before, words=words)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()[-2:]


def test_a_command_ends_with_its_exit_functions_and_frees_nothing() -> None:
    code, (printed, last) = ended(["--version"])
    assert (code, printed.partition(" ")[0], last) == (0, "sagakit", "exit function")


def test_a_command_that_fails_ends_with_its_code() -> None:
    assert ended(["wroker"]) == (2, ["exit function"])


def test_threads_that_python_does_not_wait_for_keep_no_process() -> None:
    """trio keeps threads for later, for ten seconds."""
    assert ended(["wroker"], WAITS.replace(")).start()", "), daemon=True).start()")) == (2, ["exit function"])


@pytest.mark.parametrize("before", [WAITS, "sys.setprofile(lambda *_: None)", "sys.settrace(lambda *_: None)"])
def test_a_command_that_others_wait_for_ends_as_python_ends_it(before: str) -> None:
    assert ended(["--version"], before) == (0, ["exit function", "freed"])
