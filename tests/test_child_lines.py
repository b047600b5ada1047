"""The lines of a child process: a process that falls silent or ends fails its test, with all that it has printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.child_lines import ChildLines


@contextmanager
def child(program: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-uc", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_silent_process_is_killed_and_what_it_has_printed_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("the port is taken")
    with child("import time; print('first'); time.sleep(600)") as process:
        lines = ChildLines(process, log=log)
        assert lines.next() == "first\n"
        with pytest.raises(AssertionError, match=r"no line in 0.01 s: .*\['first\\n'\]; its log .* the port is taken"):
            lines.next(within=0.01)
        assert process.wait(60) != 0


def test_a_process_that_has_ended_is_told_with_its_lines() -> None:
    with child("print('first'); print('second')") as process:
        lines = ChildLines(process)
        assert lines.until("second") == "second\n"
        process.wait(60)
        with pytest.raises(AssertionError, match=r"exit code 0, lines \['first\\n', 'second\\n'\]"):
            lines.next()
