"""Exceptions that a careless handler lets through: one that cannot be shown, and one that is not an Exception."""

from __future__ import annotations


class Silent(Exception):
    """An error whose text raises SystemExit."""

    def __repr__(self) -> str:
        raise SystemExit("no words")

    __str__ = __repr__


class Odd(BaseException):
    """An error of a kind that `except Exception` does not catch."""
