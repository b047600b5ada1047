"""Evidence that a fault waits for while the run is under way, so that no luck decides whether it bites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from tests.chaos.history import Heard, Row, as_version
from tests.chaos.load import read_lines
from tests.chaos.services import LONGEST

LOOK = 0.1
"""Seconds between two looks at the files of other processes."""
ANSWERED_WITHIN = LONGEST + 1.0
"""Seconds after which every call that was under way has been answered, and its line is in the log."""
WITHIN = 60.0
"""Seconds that a fault waits for what it needs."""


async def caught(folder: Path, worker: str, *, since: int, least: int) -> set[str]:
    """Return the sagas of a worker that is stopped since `since` (wall clock, ns), in the middle of their calls.

    The services answer these calls after the worker has stopped, so it learns of the answers when it goes on, and not
    before. Return when there are at least `least` sagas, or once no more can be found.
    """
    found: set[str] = set()

    def look() -> bool:
        rows = read_lines(folder / "calls.jsonl", Row)
        found.update(_saga(row) for row in rows if row.call.worker == worker and row.end > since)
        return len(found) >= least

    with trio.move_on_after(ANSWERED_WITHIN):
        await _until(look)
    return found


async def taken_over(folder: Path, worker: str, sagas: set[str]) -> None:
    """Return when other workers have written a record of each of these sagas. Raises trio.TooSlowError."""

    def look() -> bool:
        heard = (one for one in read_lines(folder / "trail.jsonl", Heard) if one.key in sagas and not one.operation)
        versions = [as_version(one.key, one.seq, one.at, one.value) for one in heard]
        return {one.key for one in versions if one.record is not None and one.record.owner != worker} == sagas

    with trio.fail_after(WITHIN):
        await _until(look)


async def _until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110  # other processes write the files
        await trio.sleep(LOOK)


def _saga(row: Row) -> str:
    return f"{row.call.saga_type}.{row.call.saga_id}"
