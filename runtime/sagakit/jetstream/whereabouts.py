"""The whereabouts of a call: which loop, thread and process it comes from. Each error says which function to use."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, Literal

from sagakit.errors import RuntimeClosed, WrongContext

Thing = Literal["runtime", "client"]
"""A word for what a program has opened, as the errors say it and as the functions that open it are named."""


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


def check_trio(thing: Thing) -> None:
    """Raise WrongContext unless trio runs here, where a trio program opens something."""
    opener = f"sagakit.open_{thing}"
    if not _in_trio():
        if running_loop() is not None:
            raise WrongContext(
                f"{opener} is for trio programs, and asyncio runs here: use sagakit.asyncio.open_{thing}"
            )
        raise WrongContext(f"{opener} is for a task of a trio program: call it in an async function under trio.run")


def check_asyncio(thing: Thing) -> asyncio.AbstractEventLoop:
    """Return the asyncio loop that runs here, where an asyncio program opens something. Raises WrongContext."""
    loop, opener = running_loop(), f"sagakit.asyncio.open_{thing}"
    if loop is not None:
        return loop
    if _in_trio():
        raise WrongContext(f"{opener} is for asyncio programs, and trio runs here: use sagakit.open_{thing}")
    raise WrongContext(f"{opener} is for a task of an asyncio program: call it in an async function under asyncio.run")


def context_left(thing: Thing) -> RuntimeClosed:
    """Return the error for a call on something whose context was left."""
    return RuntimeClosed(f"the {thing} has closed: its context was left")


def check_no_loop(what: str) -> None:
    """Raise WrongContext where an event loop runs already; `what` is the function that was called."""
    if _in_trio():
        raise WrongContext(f"{what} is for plain scripts, and trio runs here: use sagakit.open_runtime")
    if running_loop() is not None:
        raise WrongContext(f"{what} is for plain scripts, and asyncio runs here: use sagakit.asyncio.open_runtime")


_forks = 0
"""The forks that lie between the first process and this one. Counted, since each look at the pid is a system call."""


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class Home:
    """The process, and the loop, that a runtime or client belongs to: `token` is trio's, or the asyncio loop."""

    __slots__ = ("_forks", "_thing", "_token")

    def __init__(self, thing: Thing, token: Any) -> None:
        self._thing = thing
        self._token = token
        self._forks = _forks

    @property
    def forked(self) -> bool:
        """True if this process is a child of the one that opened the thing."""
        return self._forks != _forks

    def check_trio(self) -> None:
        """Raise WrongContext unless a task of the trio program that opened the thing calls."""
        if self._forks != _forks:
            raise self._forked()
        try:
            here = sys.modules["trio"].lowlevel.current_trio_token()
        except RuntimeError:  # trio does not run here
            here = None
        if here is not self._token:
            raise WrongContext(
                f"this {self._thing} belongs to the trio program that opened it, and the call comes from elsewhere: "
                "from another thread use trio.from_thread.run(..., trio_token=token); asyncio programs open their "
                f"{self._thing} with sagakit.asyncio.open_{self._thing}"
            )

    def check_asyncio(self) -> None:
        """Raise WrongContext unless a task of the asyncio loop that opened the thing calls."""
        if self._forks != _forks:
            raise self._forked()
        if running_loop() is not self._token:
            raise WrongContext(
                f"this {self._thing} belongs to the asyncio loop that opened it, and the call comes from elsewhere: "
                "use asyncio.run_coroutine_threadsafe(..., loop) from another thread or loop"
            )

    def _forked(self) -> WrongContext:
        return WrongContext(
            f"this process was forked from the one that opened the {self._thing}, and cannot use it: open one "
            "here, or start processes by `multiprocessing.get_context('spawn')`"
        )
