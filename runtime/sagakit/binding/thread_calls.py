"""The calls of user code that run in threads now. The watchdog looks at them, since a thread cannot be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class ThreadCall:
    """A call that runs in a thread. It is due `timeout` seconds after it began."""

    __slots__ = ("due", "log_at", "thread", "timeout")

    def __init__(self, timeout: float) -> None:
        self.thread: int = threading.get_ident()
        self.timeout: float = timeout
        self.due: float = time.monotonic() + timeout
        self.log_at: float | None = None
        """When the watchdog is to log it again; None before the first time."""


_running: dict[int, ThreadCall] = {}


@contextmanager
def running(timeout: float) -> Iterator[None]:
    """Count the calling thread among those that run a call, while the context is open."""
    call = ThreadCall(timeout)
    _running[call.thread] = call
    try:
        yield
    finally:
        del _running[call.thread]


def overdue(now: float) -> list[ThreadCall]:
    """Return the calls that run although their timeout is over at `now`, which is a time of `time.monotonic`."""
    return [call for call in _running.copy().values() if call.due <= now]
