"""The standard input of a command, and files that it reads: up to a bound, since either may have no end.

A program that was started with its standard input closed, as by `<&-`, reads nothing from it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import IO, AnyStr

from sagakit.cli.exits import UsageError

MOST = 64
"""MiB that a line or a payload may have, in characters or bytes: NATS carries no larger message."""
NAME = "standard input"


def is_terminal() -> bool:
    """Return True if a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def lines_of_input() -> Iterator[str]:
    """Yield the lines of the standard input. Raises UsageError for a line that is too long, or is not text."""
    if sys.stdin is None:
        return
    try:
        yield from lines_within(sys.stdin, NAME)
    except UnicodeDecodeError as error:
        raise UsageError(f"{NAME} is not text in {error.encoding}") from None


def bytes_of_input() -> bytes:
    """Return the standard input as it is. Raises UsageError if it is too long."""
    return b"" if sys.stdin is None else bytes_within(sys.stdin.buffer, NAME)


def lines_within(file: IO[AnyStr], name: str) -> Iterator[AnyStr]:
    """Yield the lines of a file. Raises UsageError, with the name of the file, for a line that is too long."""
    number, most = 0, MOST * 2**20
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise UsageError(f"{name}, line {number}: has more than {MOST} MiB; end each row or key with a line break")
        yield line


def bytes_within(file: IO[bytes], name: str) -> bytes:
    """Return the content of a file. Raises UsageError, with the name of the file, if it is too long."""
    content = file.read(MOST * 2**20 + 1)
    if len(content) > MOST * 2**20:
        raise UsageError(f"{name} has more than {MOST} MiB: NATS carries no larger message")
    return content
