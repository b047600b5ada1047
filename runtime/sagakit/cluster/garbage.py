"""The threshold of Python's garbage collector, which belongs to the process and is shared by all its runtimes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
"""Guard of the two lists below: runtimes open and close in several threads, and in any order."""
_asked: list[int] = []
"""Thresholds that the open runtimes ask for."""
_found: list[tuple[int, int, int]] = []
"""Thresholds of the process before the first runtime opened; empty while none is open."""


@contextmanager
def collecting_less(threshold: int) -> Iterator[None]:
    """Have the collector run after at least `threshold` allocations while the context is open; 0 changes nothing.

    Sagas in flight are not garbage. To search thousands of them again and again costs much of the throughput. If
    several runtimes are open, the largest threshold is in force. When the last one closes, the process gets back the
    thresholds that it had before.
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
    if youngest:  # 0 means that the program has turned the collector off: leave it off
        gc.set_threshold(max([youngest, *_asked]), *others)
