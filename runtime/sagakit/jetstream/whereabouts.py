"""The whereabouts of a call: which loop, thread and process it comes from. Each error says which function to use."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from sagakit.errors import WrongContext

CONTEXT_LEFT = "the runtime has closed: its context was left"

_FORKED = (
    "this process was forked from the one that opened the runtime, and cannot use it: open one here, or start "
    "processes by `multiprocessing.get_context('spawn')`"
)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _in_trio() -> bool:
    """Return True if a trio program runs here. Once trio-asyncio is imported, plain `asyncio.run` runs on trio, too."""
    return _trio_runs() and type(running_loop()).__name__ != "SyncTrioEventLoop"


def _trio_runs() -> bool:
    trio = sys.modules.get("trio")  # an asyncio program need not have it: then it does not run
    return trio is not None and bool(trio.lowlevel.in_trio_run())


def check_trio(what: str) -> None:
    """Raise WrongContext unless trio runs here; `what` is the function that was called."""
    if not _in_trio():
        if running_loop() is not None:
            other = what.replace("sagakit.", "sagakit.asyncio.")
            raise WrongContext(f"{what} is for trio programs, and asyncio runs here: use {other}")
        raise WrongContext(f"{what} is for a task of a trio program: call it in an async function under trio.run")


def check_asyncio(what: str) -> asyncio.AbstractEventLoop:
    """Return the asyncio loop that runs here. Raises WrongContext; `what` is the function that was called."""
    loop = running_loop()
    if loop is not None:
        return loop
    if _in_trio():
        other = what.replace("sagakit.asyncio.", "sagakit.")
        raise WrongContext(f"{what} is for asyncio programs, and trio runs here: use {other}")
    raise WrongContext(f"{what} is for a task of an asyncio program: call it in an async function under asyncio.run")


def check_no_loop(what: str) -> None:
    """Raise WrongContext where an event loop runs already; `what` is the function that was called."""
    if _in_trio():
        raise WrongContext(f"{what} is for plain scripts, and trio runs here: use sagakit.open_runtime")
    if running_loop() is not None:
        raise WrongContext(f"{what} is for plain scripts, and asyncio runs here: use sagakit.asyncio.open_runtime")


class Home:
    """The process, and the loop, that a runtime belongs to: `token` is trio's, or the asyncio loop."""

    __slots__ = ("_pid", "_token")

    def __init__(self, token: Any) -> None:
        self._token = token
        self._pid = os.getpid()

    @property
    def forked(self) -> bool:
        """True if this process is a child of the one that opened the runtime."""
        return os.getpid() != self._pid

    def check_trio(self) -> None:
        """Raise WrongContext unless a task of the trio program that opened the runtime calls."""
        if self.forked:
            raise WrongContext(_FORKED)
        if not _trio_runs() or sys.modules["trio"].lowlevel.current_trio_token() is not self._token:
            raise WrongContext(
                "this runtime belongs to the trio program that opened it, and the call comes from elsewhere: from "
                "another thread use trio.from_thread.run(..., trio_token=token); asyncio programs open their runtime "
                "with sagakit.asyncio.open_runtime"
            )

    def check_asyncio(self) -> None:
        """Raise WrongContext unless a task of the asyncio loop that opened the runtime calls."""
        if self.forked:
            raise WrongContext(_FORKED)
        if running_loop() is not self._token:
            raise WrongContext(
                "this runtime belongs to the asyncio loop that opened it, and the call comes from elsewhere: use "
                "asyncio.run_coroutine_threadsafe(..., loop) from another thread or loop"
            )
