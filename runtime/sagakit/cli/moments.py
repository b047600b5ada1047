"""Times and delays as arguments of commands."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sagakit.cli.exits import UsageError

_DELAY = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)?")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def time_of(text: str) -> float:
    """Return a time in ISO 8601, in UTC if it names no zone, as seconds since the epoch. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time: write 2026-12-01, or 2026-12-01T08:00+01:00") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def seconds_of(text: str) -> float:
    """Return a delay, such as 90, 30s, 15m, 2h, 3d or 1w, in seconds. Raises UsageError."""
    found = _DELAY.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is not a delay: write seconds, or 30s, 15m, 2h, 3d, 1w")
    return float(found[1]) * _UNITS[found[2] or "s"]
