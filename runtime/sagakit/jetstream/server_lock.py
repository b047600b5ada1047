"""The lock that a server holds on its folder as long as it lives: the proof that the server before has ended.

The server inherits it as an open file. The system lets go of a lock of `flock` when the last process that inherited
the file has ended, whatever became of the one that took it, and not before: on Linux, macOS and the BSDs alike.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import trio

from sagakit.errors import CannotConnect

LET_GO_TIMEOUT = 5.0
"""Seconds that a server without an owner gets to end; where it is told to, before and after it is killed."""
POLL = 0.05
"""Seconds between looks: another process's end can only be polled for."""


def locked(lock: IO[str]) -> bool:
    """Lock the open file; False if another process, or another open file of this one, holds the lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def server_lock(folder: Path) -> Iterator[IO[str]]:
    """Hold the lock for the server that is about to be started, which inherits it. Raises CannotConnect, OSError."""
    with (folder / "server.lock").open("a") as lock:
        if not locked(lock):
            raise CannotConnect(f"a nats-server runs on {folder} already, and another must not open its files")
        yield lock


async def until_let_go(folder: Path, pid: int | None, *, dies_with_owner: bool) -> None:
    """Return once the server of an owner that was killed has ended. Raises CannotConnect, OSError.

    Where it does not die with its owner, it is told to end, for nobody else will. `pid` is its process, if known; only
    for whoever holds the owner's lock, so that it has no owner.
    """
    means: list[int | None] = [None] if dies_with_owner or pid is None else [signal.SIGTERM, signal.SIGKILL]
    with (folder / "server.lock").open("a") as lock:
        if locked(lock):
            return
        for number in means:
            _send(pid, number)
            if await _comes_free(lock):
                return
    which = "a nats-server" if pid is None else f"the nats-server with process id {pid}"
    raise CannotConnect(f"{which} still runs on {folder}, but its owner was killed: end it, then open the folder again")


async def _comes_free(lock: IO[str]) -> bool:
    """Wait for the lock, and take it; False if that takes too long."""
    with trio.move_on_after(LET_GO_TIMEOUT):
        while not locked(lock):  # noqa: ASYNC110  # as said
            await trio.sleep(POLL)
        return True
    return False


def _send(pid: int | None, number: int | None) -> None:
    if pid is not None and number is not None:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)
