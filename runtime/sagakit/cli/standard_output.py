"""The standard output and error of a command's process. The output may be full, or without a reader, or closed.

Whatever writes it, such as a library that swallows errors or a flush at the end, a loss ends the command with one line
and one exit code. What standard error does not take is lost: the command goes on, and its exit code tells.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOST = 74
"""Exit code of a command whose output cannot be written, after sysexits.h."""
UNREAD = 1
"""Exit code of a command whose output nobody reads any more, as after `head`."""


class OutputError(OSError):
    """The output of a command cannot be written; the text says which one, and why."""


class OutputFile(io.FileIO):
    """A file whose errors name it. After the first one the rest is dropped, as nobody could use it."""

    def __init__(self, file: int | str, name: str) -> None:
        super().__init__(file, "w", closefd=not isinstance(file, int))
        self._name = name
        self.lost: OSError | None = None
        """The error of the first write that failed."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes. Raises OutputError, and BrokenPipeError if nobody reads them."""
        if self.lost is None:
            try:
                return super().write(data)
            except BrokenPipeError as error:
                self.lost = error
                raise
            except OSError as error:
                self.lost = OutputError(f"{self._name} cannot be written: {error.strerror}")
                raise self.lost from None
        return memoryview(data).nbytes


class _ErrorFile(io.FileIO):
    """Standard error. Nobody can be told that it cannot be written."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes, or drop them."""
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


@contextmanager
def told_if_lost(*, is_service: bool = False) -> Iterator[None]:
    """Own the standard output and error of this process. If output is lost, end it with a line and an exit code.

    A service only tells of it: its exit code says how it has ended.
    """
    output = OutputFile(1, "standard output") if sys.stdout is not None else None
    _take_over(output)
    try:
        yield
    except BaseException as error:  # passed on, unless it comes from a loss
        has_told = output is not None and _is_told(error, output.lost)
        _flush()
        if output is None or output.lost is None or has_told:
            raise
        code = _code(output.lost)
        if is_service and isinstance(error, SystemExit):
            raise
        raise SystemExit(code) from None
    _flush()
    if output is not None and output.lost is not None:
        code = _code(output.lost)
        if not is_service:
            raise SystemExit(code)


def _is_told(error: BaseException, lost: OSError | None) -> bool:
    """Return True if a command that ends with this error knows of the loss."""
    return isinstance(error, SystemExit) and (isinstance(lost, BrokenPipeError) or error.code == LOST)


def _code(lost: OSError) -> int:
    """Tell of a loss, and return the exit code."""
    if isinstance(lost, BrokenPipeError):
        return UNREAD
    print(lost, file=sys.stderr)
    return LOST


def _take_over(output: OutputFile | None) -> None:
    """Write standard output and error by files that know what is lost; those that are closed take everything."""
    before = sys.stdout
    sys.stdout = _nowhere() if before is None or output is None else _text(output, before)
    sys.stderr = _nowhere() if sys.stderr is None else _text(_ErrorFile(2, "w", closefd=False), sys.stderr)
    if before is not None and output is not None:
        try:
            before.flush()  # what this process has printed before it became a command
        except OSError as error:
            output.lost = error


def _nowhere() -> TextIO:
    """Return a text file that keeps nothing. It takes the descriptor, which a socket would take otherwise."""
    return open(os.devnull, "w")


def _text(file: io.FileIO, like: TextIO) -> TextIO:
    """Return a text file over a file, with the settings of another one."""
    is_raw = isinstance(like.buffer, io.FileIO)  # PYTHONUNBUFFERED
    buffer: Any = file if is_raw else io.BufferedWriter(file)
    settings: Any = {name: getattr(like, name) for name in ("encoding", "errors", "line_buffering", "write_through")}
    return io.TextIOWrapper(buffer, **settings)


def _flush() -> None:
    with suppress(OSError):  # the file knows
        if sys.stdout is not None:
            sys.stdout.flush()
