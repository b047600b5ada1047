"""The lines of several processes that share one log: whole, however long they are."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from sagakit.cli import logs

LINES, LONG = 20, 100_000
"""Lines of each process, and their length: more than a pipe holds, so that each is written in parts."""
WRITER = f"""
import logging, sys
from sagakit.cli import logs
logs.set_up("json", "INFO", process=int(sys.argv[1]))
for _ in range({LINES}):
    logging.getLogger("shop").info(sys.argv[1] * {LONG})
"""


def test_lines_of_processes_that_share_a_pipe_are_never_mixed() -> None:
    read, write = os.pipe()
    with open(read, "rb") as log:
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(number)], stderr=write) for number in (1, 2, 3)]
        os.close(write)
        lines: list[dict[str, Any]] = [msgspec.json.decode(line) for line in log]
        assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert sorted(line["process"] for line in lines) == [1] * LINES + [2] * LINES + [3] * LINES
    assert all(line["message"] == str(line["process"]) * LONG for line in lines)


def test_a_process_that_is_stopped_in_the_middle_of_a_line_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PATIENCE", 0.05)
    waits: list[float] = []
    lock = logs._lock

    def locked(number: int, patience: float) -> bool:
        waits.append(patience)
        return lock(number, patience)

    monkeypatch.setattr(logs, "_lock", locked)
    holder = "import fcntl, sys; fcntl.lockf(2, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    read, write = os.pipe()
    with open(read) as log, open(write, "w") as stream:
        command = [sys.executable, "-c", holder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write) as stopped:
            assert stopped.stdout is not None
            assert stopped.stdout.readline() == b"held\n"
            handler = logs.SharedLog(stream)
            for _ in range(3):
                handler.emit(logging.LogRecord("shop", logging.INFO, "", 0, "goes on", None, None))
                assert log.readline() == "goes on\n"
    assert waits == [0.05, 0.0, 0.0], "only the first line waits for it"
