"""A process whose wall clock is not the machine's: libfaketime moves it, and leaves the monotonic clock alone."""

from __future__ import annotations

from pathlib import Path

PLACES = (
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
)
SEEN_WITHIN = 1
"""Seconds after which a process has noticed that its clock was set."""


def find_libfaketime() -> str:
    """Return the path of the library. Raises RuntimeError, which says how to get it."""
    for place in PLACES:
        for found in Path("/").glob(place.removeprefix("/")):
            return str(found)
    raise RuntimeError(
        "libfaketime is missing, which gives processes wrong clocks: install the package `libfaketime` "
        "(`apt-get install libfaketime`; .ci/install does that)"
    )


class WallClock:
    """The wall clock of one process, or of several one after the other; a test may set it while they run."""

    def __init__(self, file: Path, ahead: float = 0.0) -> None:
        self._file = file
        self.ahead: float = ahead
        self.set(ahead)

    def set(self, ahead: float) -> None:
        """Set the clock so many seconds ahead of the machine's; negative means behind.

        A process follows within SEEN_WITHIN.
        """
        self.ahead = ahead
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+.3f}\n")
        new.rename(self._file)  # in one move: a process may read it at any moment

    @property
    def environment(self) -> dict[str, str]:
        """The environment to start a process with."""
        return {
            "LD_PRELOAD": find_libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(SEEN_WITHIN),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # otherwise Python would take its compiled modules for old
        }
