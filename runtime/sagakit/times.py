"""Conversions between the points in time that callers give and the seconds that records keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TypeAlias

Moment: TypeAlias = datetime | float
"""A datetime with a time zone, or seconds since the epoch."""


def epoch_seconds(value: object) -> float:
    """Return a moment as seconds since the epoch. Raises ValueError, whose text says what to write instead."""
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


def moment_of(seconds: float | None) -> datetime | None:
    """Return seconds since the epoch as a datetime in UTC; None for None, and for a time beyond the calendar."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def shifted(time: datetime, seconds: object) -> datetime | None:
    """Return the time so many seconds later; None if `seconds` is not a number, or the time is beyond the calendar."""
    try:
        return time + timedelta(seconds=seconds) if isinstance(seconds, int | float) else None
    except (ValueError, OverflowError):
        return None
