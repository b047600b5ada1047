"""Points in time, as callers may give them."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import TypeAlias

Moment: TypeAlias = datetime | float
"""A datetime with a time zone, or seconds since the epoch."""


def epoch_seconds(value: object) -> float:
    """Return a moment as seconds since the epoch. Raises ValueError, which says what to write."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone: say datetime(..., tzinfo=UTC)")
        return value.timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if isfinite(value):
                return float(value)
        except OverflowError:  # an int beyond every float
            pass
    raise ValueError(f"{value!r} is not a time: say a datetime with a time zone, or seconds since the epoch")
