"""The log of a worker process: records of `logging` on standard error, as text or as one JSON object a line."""

from __future__ import annotations

import fcntl
import logging
import logging.config
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TextIO

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
PATIENCE = 2.0
"""Seconds that a line waits at most for that of another process. Once one has waited in vain, such as for a process
that was stopped, no line waits until the stream is free again."""
LOOK = 0.001
"""Seconds between looks whether another process has written its line."""


class SharedLog(logging.StreamHandler[TextIO]):
    """A handler for a stream that other processes write to, too: each line stays whole.

    A pipe takes a line above 4 KB, such as one with a traceback, in parts once it is nearly full.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._patience = PATIENCE

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, while no other process that does so writes one."""
        with self._alone():
            super().emit(record)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the stream, if it is a pipe or a socket. The lock of a process that is killed goes with it."""
        number = _pipe_of(self.stream)
        if number is None:
            yield
            return
        self._patience = PATIENCE if _lock(number, self._patience) else 0.0
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.lockf(number, fcntl.LOCK_UN)


def _pipe_of(stream: TextIO) -> int | None:
    """Return the descriptor of a pipe or a socket; None for others: a file takes each line whole."""
    try:
        mode = os.fstat(number := stream.fileno()).st_mode
    except (OSError, ValueError):  # it is closed, or not of the system: writing tells what is wrong
        return None
    return number if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _lock(number: int, patience: float) -> bool:
    """Lock a pipe; return False if another process has held the lock for so many seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK)
        except OSError:  # a system that locks only files
            return True
        else:
            return True


def set_up(format: Literal["text", "json"], level: str, *, process: int | None = None) -> None:
    """Send all records to standard error.

    A JSON object has `time` (UTC), `level`, `logger`, `message`, `exc_info` after an error, and the fields of `extra=`.
    `process` is the number of one of several processes that share the stream: each record names it.
    """
    text = TEXT if process is None else TEXT.replace("%(name)s", f"[{process}] %(name)s")
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"it": _json(process) if format == "json" else {"format": text}},
            "handlers": {"stderr": {"()": SharedLog, "formatter": "it"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {"hypercorn": {"level": "WARNING"}, "asyncio": {"level": "WARNING"}},
        }
    )


def _json(process: int | None) -> dict[str, Any]:
    return {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": ["levelname", "name", "message"],
        "rename_fields": {"levelname": "level", "name": "logger"},
        "timestamp": "time",
        "static_fields": {} if process is None else {"process": process},
    }
