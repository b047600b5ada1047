"""How seldom the garbage collector looks: it is the process's, and so it is shared by all runtimes of the process."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
"""Guards the two below: runtimes open and close in several threads, and in any order."""
_asked: list[int] = []
"""The thresholds that the open runtimes ask for."""
_found: list[tuple[int, int, int]] = []
"""The thresholds of the process before the first of them opened; empty while none is open."""


@contextmanager
def collecting_less(threshold: int) -> Iterator[None]:
    """Let at least `threshold` objects be made between two looks of the collector; 0 leaves it as it is.

    Sagas in flight are no garbage: to look through thousands of them all the time costs much of the throughput. Of
    several runtimes the largest threshold is in force. When the last one closes, what was found is put back.
    """
    if not threshold:
        yield
        return
    with _lock:
        if not _asked:
            _found.append(gc.get_threshold())
        _asked.append(threshold)
        _apply()
    try:
        yield
    finally:
        with _lock:
            _asked.remove(threshold)
            _apply()
            if not _asked:
                _found.clear()


def _apply() -> None:
    youngest, *others = _found[0]
    if youngest:  # 0 says that the program has turned the collector off
        gc.set_threshold(max([youngest, *_asked]), *others)
