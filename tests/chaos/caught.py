"""Waits for evidence while a run is under way, so that no luck decides whether a fault bites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from tests.chaos.history import Heard, as_version
from tests.chaos.load import read_lines

LOOK = 0.1
"""Seconds between two looks at the files of other processes."""
WITHIN = 60.0
"""Seconds that a fault waits for what it needs."""


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Let the services answer no call of the worker of that name while the context is open."""
    hold = folder / f"hold-{name}"
    hold.touch()
    try:
        yield
    finally:
        hold.unlink()


async def in_calls(folder: Path, name: str, *, least: int) -> set[str]:
    """Return the sagas whose calls are held, once there are so many. Raises trio.TooSlowError."""
    lines = folder / f"held-{name}"

    def look() -> set[str]:
        return set(lines.read_text().split()) if lines.exists() else set()

    await _until(lambda: len(look()) >= least)
    return look()


async def taken_over(folder: Path, worker: str, sagas: set[str]) -> None:
    """Return when other workers have written each of these sagas, or it has ended. Raises trio.TooSlowError."""

    def look() -> bool:
        heard = (one for one in read_lines(folder / "trail.jsonl", Heard) if one.key in sagas and not one.operation)
        versions = [as_version(one.key, one.seq, one.at, one.value) for one in heard]
        return {one.key for one in versions if one.record is None or one.record.owner != worker} == sagas

    await _until(look)


async def _until(look: Callable[[], bool]) -> None:
    with trio.fail_after(WITHIN):
        while not look():  # noqa: ASYNC110  # other processes write the files
            await trio.sleep(LOOK)
