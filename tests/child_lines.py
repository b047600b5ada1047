"""Lines that a child process prints: each is awaited for a bounded time, and an error has all that was printed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from threading import Thread
from typing import IO, AnyStr, Generic

PATIENCE = 120.0
"""Seconds that a process gets to print the next line."""
KILLED_WITHIN = 10.0
"""Seconds that the pipe of a killed process gets to end. It stays open while a child of that process lives."""


class ChildLines(Generic[AnyStr]):
    """Reads the standard output of a process, or another of its pipes, line by line.

    `log` is the file that has the rest of what it prints; errors end with it.
    """

    def __init__(
        self, process: subprocess.Popen[AnyStr], pipe: IO[AnyStr] | None = None, *, log: Path | None = None
    ) -> None:
        found = process.stdout if pipe is None else pipe
        assert found is not None, "the process has no pipe"
        self._process: subprocess.Popen[AnyStr] = process
        self._pipe: IO[AnyStr] = found
        self._log = log
        self.seen: list[AnyStr] = []
        """The lines so far."""

    def next(self, *, within: float = PATIENCE) -> AnyStr:
        """Return the next line, with its end.

        Raises AssertionError if none comes within so many seconds, which kills the process, or if the process ends.
        """
        read: list[AnyStr] = []
        reader = Thread(target=lambda: read.append(self._pipe.readline()), daemon=True)
        reader.start()
        reader.join(within)
        if reader.is_alive():
            self._process.kill()
            reader.join(KILLED_WITHIN)
            self.seen += [line for line in read if line]
            raise AssertionError(f"no line in {within:g} s: {self._told()}")
        if not read or not read[0]:
            raise AssertionError(f"the process has ended its lines: {self._told()}")
        self.seen.append(read[0])
        return read[0]

    def until(self, text: AnyStr, *, within: float = PATIENCE) -> AnyStr:
        """Return the next line that has `text`. Raises AssertionError as `next`, `within` being for all lines."""
        end = time.monotonic() + within
        while text not in (line := self.next(within=max(0.0, end - time.monotonic()))):
            pass
        return line

    def rest(self, *, within: float = PATIENCE) -> None:
        """Read to the end of the pipe. Raises AssertionError if it is still open after so many seconds."""
        reader = Thread(target=lambda: self.seen.extend(self._pipe.readlines()), daemon=True)
        reader.start()
        reader.join(within)
        if reader.is_alive():
            self._process.kill()
            raise AssertionError(f"the pipe is still open after {within:g} s: {self._told()}")

    def _told(self) -> str:
        log = "" if self._log is None else f"; its log ends with {self._log.read_text(errors='replace')[-4000:]}"
        return f"exit code {self._process.poll()}, lines {self.seen}{log}"
