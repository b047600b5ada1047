"""The columns of a list of sagas, by their names: those of `sagakit list` and of the console."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sagakit.errors import InvalidInput
from sagakit.naming import nearest

COLUMNS: Sequence[str] = ("type", "status", "at", "age", "changed", "deadline", "error", "version", "owner")
"""The columns, besides the saga itself and its attributes."""
ATTRIBUTE = "attributes."
"""The beginning of the name of a column that shows an attribute, as in filters."""
MOST = 30
"""Columns of a list."""


def checked_columns(names: Iterable[str]) -> Sequence[str]:
    """Return the names of columns, each once and without blanks around it. Raises InvalidInput for an unknown one."""
    found = tuple(dict.fromkeys(name.strip() for name in names))
    for name in found:
        if name not in COLUMNS and (not name.startswith(ATTRIBUTE) or name == ATTRIBUTE):
            raise InvalidInput(
                f"there is no column {name[:80]!r}: write {', '.join(COLUMNS)}, or {ATTRIBUTE}NAME for an attribute"
                f"{nearest(name, COLUMNS)}"
            )
    if len(found) > MOST:
        raise InvalidInput(f"a list has {MOST} columns at the most, and these are {len(found)}")
    return found


def attribute_of(column: str) -> str:
    """Return the attribute that a column shows; empty if it shows none."""
    return column.removeprefix(ATTRIBUTE) if column.startswith(ATTRIBUTE) else ""
