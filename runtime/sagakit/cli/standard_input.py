"""The standard input of a command. A program that was started with it closed, as by `<&-`, reads nothing from it."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def is_terminal() -> bool:
    """Return True if a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def lines_of_input() -> Iterable[str]:
    """Return the lines of the standard input."""
    return () if sys.stdin is None else sys.stdin


def bytes_of_input() -> bytes:
    """Return the standard input as it is."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read()
