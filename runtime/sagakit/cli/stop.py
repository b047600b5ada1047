"""SIGTERM and SIGINT: the first asks, the second ends the process at once.

Handled in Python's main thread, between two bytecodes: a trio loop that is blocked cannot keep the second one waiting.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """What the first signal does, now. `asked` names it."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self._then: Callable[[], object] | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def then(self, fn: Callable[[], object]) -> None:
        """From now on the first signal calls `fn` in the trio thread; at once, if it came before."""
        self._token = trio.lowlevel.current_trio_token()
        self._then = fn
        if self.asked is not None:
            fn()

    def on_signal(self, number: int, frame: object) -> None:
        """The handler."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self.asked = signal.Signals(number).name
        if self._token is not None:
            self._token.run_sync_soon(self._call)

    def _call(self) -> None:
        if self._then is not None:
            self._then()


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Handle the signals while the context is open. For the main thread."""
    stop = Stop()
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
