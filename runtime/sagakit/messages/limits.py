"""The limits that the server's `max_payload` sets to records and inputs."""

from __future__ import annotations

from sagakit.engine import Limits


def limits_for(max_payload: int, *, max_isolated_crashes: int) -> Limits:
    """Return the bounds that keep a record within one message of `max_payload` bytes.

    The results may fill half of it, the input a quarter. The last quarter is for verdicts, the outbox and the steps.
    """
    # of the last quarter three rings of verdicts in words have a sixteenth each, and the verdicts in short, of about 15
    # bytes, an eighth; the outbox has one event for each 2 KiB, and 64 bytes more for the names of the value that the
    # event carries, of its key group and its message. The lower bounds keep a saga usable where max_payload is tiny
    rest = max_payload // 4
    return Limits(
        results=max_payload // 2,
        detail=min(4 * 1024, rest // 16),
        outbox=max(min(128, rest // (2048 + 64)), 4),
        verdicts=rest // 16,
        ids=max(min(2_000, rest // 8 // 15), 16),
        lone_deaths=max_isolated_crashes,
    )


def input_limit(max_payload: int) -> int:
    """Return the largest size of an input, in bytes."""
    return max_payload // 4
