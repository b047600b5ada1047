"""SIGTERM and SIGINT: the first one requests a stop, the second one ends the process at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """The action of the first signal."""

    def __init__(self) -> None:
        self.asked: str | None = None
        """Name of the signal that has come, or the reason that `ask` was given; None before."""
        self._then: Callable[[], object] | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def then(self, fn: Callable[[], object]) -> None:
        """Let the first signal call `fn` in the trio thread; call it at once if the signal has come."""
        self._token = trio.lowlevel.current_trio_token()
        self._then = fn
        if self.asked is not None:
            fn()

    def ask(self, why: str) -> None:
        """Do what the first signal does, and leave the handling of signals as it is. For the trio thread."""
        if self.asked is None:
            self.asked = why
            self._call()

    def on_signal(self, number: int, frame: object) -> None:
        """Handle the first signal, and restore the default action for the second."""
        # Python runs this between two bytecodes of the main thread, so a step that blocks the loop does not delay it.
        # The second signal needs no Python code at all: from here on its default action ends the process.
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
    """Handle the signals while the context is open. For the main thread: Python allows handlers only there."""
    stop = Stop()
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # what a parent has `held_back` until now
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Let the signals wait while the context is open, and in a process that is forked meanwhile until it handles them.

    A service manager, and a terminal at Ctrl-C, may send a signal to all processes at once. One that is just being
    started would end with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
