"""nats-server as a child process: loopback only, one per data folder, stopped with its owner.

See docs/architecture.md, "The embedded server".

The owner holds a lock on the folder. A process that finds it locked joins the owner's server. When the owner ends, by
`kill -9` too, one of those that joined gets the lock: it becomes the owner, and starts the server on the same port.
To the others that is an outage of a moment (P12).

The child dies with its owner where the system can do that (Linux); elsewhere the next owner ends it. A lock that the
child itself holds proves that it is gone before another opens its files.

The owner starts the server again when it ends, and when it has stopped writing, as on a full disk, once the folder
takes writes again. To those who are connected that is an outage (P12).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from logging import getLogger
from math import inf
from pathlib import Path
from typing import IO

import trio
from sagakit_actors import Backoff

from sagakit.errors import CannotConnect
from sagakit.jetstream.disk import why_it_stopped_writing, why_not_writable
from sagakit.jetstream.ports import free_port
from sagakit.jetstream.server_lock import locked
from sagakit.jetstream.server_process import (
    POLL,
    READY_TIMEOUT,
    STOP_TIMEOUT,
    Running,
    Sync,
    listens,
    port_of,
    read,
    remove_stored,
    spawn,
    stop,
    until_old_one_has_ended,
    url_at,
    url_to_use,
)

_log = getLogger("sagakit.embedded")

LOOK = 1.0
"""Seconds between looks whether it still writes."""
WELL = 60.0
"""Seconds without a restart after which the pauses between restarts are short again."""
REMIND = 60.0
"""Seconds between words in the log while the server cannot be started again."""
SUCCEED = 0.2
"""Seconds between looks of a process that joined whether the owner has ended: nothing tells of that."""


@asynccontextmanager
async def embedded_server(
    folder: Path, *, sync: Sync = "always", anew: bool = False, port: int | None = None
) -> AsyncIterator[str]:
    """Run a server on `folder` while the context is open, or join the one that runs there; yields its URL.

    A process that has joined runs the server itself, at the same URL, once its owner has ended. `sync="always"`: what
    was acknowledged survives a power cut; `relaxed`: it survives `kill -9` only, and is faster; the owner's counts.
    With `anew` all that was stored is removed first. Without a `port` it takes the one that it had before, or a free
    one. Raises CannotConnect, also for a folder that cannot be written to, for a port that is taken, with `anew` for a
    folder whose server another process runs, and with `port` for one whose server listens at another port.
    """
    folder = _made(folder)
    with _lock_file(folder) as lock:
        with _usable(folder):
            owned_elsewhere = await _join(folder, lock)
        if owned_elsewhere is None:
            async with _own_server(folder, sync, anew, port) as url:
                yield url
        elif anew:
            raise CannotConnect(f"another process runs the nats-server of {folder}: end it before its data is removed")
        elif port not in (None, port_of(owned_elsewhere.url)):
            raise CannotConnect(
                f"another process runs the nats-server of {folder} at {owned_elsewhere.url}, not at port {port}: use "
                "that one, end that process, or choose another folder"
            )
        else:
            async with _succeeding(folder, lock, owned_elsewhere):
                yield owned_elsewhere.url


def _made(folder: Path) -> Path:
    """Return the folder by its absolute name; it is made if it is not there. Raises CannotConnect."""
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None
    return folder


@contextmanager
def _lock_file(folder: Path) -> Iterator[IO[str]]:
    """Open the file that the owner locks. Raises CannotConnect.

    A process that is forked from this one gets no hold on it: else the lock would outlive its owner.
    """
    try:
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None
    _open_locks.add(lock)
    try:
        yield lock
    finally:
        _open_locks.discard(lock)
        lock.close()


_open_locks: set[IO[str]] = set()


def _let_go_in_child() -> None:
    for lock in _open_locks:
        lock.close()
    _open_locks.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def _unwritable(folder: Path, why: str) -> CannotConnect:
    return CannotConnect(
        f"the embedded nats-server cannot write to {folder}: {why}: make the folder writable, with at least 1 MB free, "
        "or choose another one (embedded:///folder)"
    )


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Say of a file in the folder that cannot be read or written what to do about it. Raises CannotConnect."""
    try:
        yield
    except OSError as error:
        raise _unwritable(folder, f"{error.filename or 'a file in it'}: {error.strerror or error}") from None


async def _join(folder: Path, lock: IO[str]) -> Running | None:
    """Return the server that another process owns; None if this process has become the owner. Raises CannotConnect.

    Between the end of an owner and the start of the next one's server there is a lock, but no server.
    """
    with trio.move_on_after(READY_TIMEOUT):
        while not locked(lock):
            running = read(folder)
            if running is not None and await listens(running.url):
                return running
            await trio.sleep(POLL)
        return None
    raise CannotConnect(f"another process owns {folder}, but its server does not answer: see {folder / 'nats.log'}")


@asynccontextmanager
async def _succeeding(folder: Path, lock: IO[str], joined: Running) -> AsyncIterator[None]:
    """Be ready to run the server that was joined, at the same URL, as long as the context is open."""
    keeper = _Keeper(folder, joined.url, joined.sync)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.succeed, lock)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            await keeper.end()


@asynccontextmanager
async def _own_server(folder: Path, sync: Sync, anew: bool, port: int | None) -> AsyncIterator[str]:
    keeper = _Keeper(folder, url_to_use(folder) if port is None else url_at(port), sync)
    why = await why_not_writable(folder)
    if why is not None:
        raise _unwritable(folder, why)
    with _usable(folder):
        if anew:
            await until_old_one_has_ended(folder)
            remove_stored(folder)
        await keeper.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.keep)
        try:
            yield keeper.url
        finally:
            nursery.cancel_scope.cancel()
            await keeper.end()


class _Keeper:
    """Starts the server, and again, on the same port, when it ends or has stopped writing."""

    def __init__(self, folder: Path, url: str, sync: Sync) -> None:
        self.url: str = url
        self._folder = folder
        self._sync: Sync = sync
        self._monitoring = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, once the server of an owner that was killed has ended. Raises CannotConnect, OSError."""
        await until_old_one_has_ended(self._folder)
        self._monitoring = free_port()
        self._process = await spawn(self._folder, self.url, self._monitoring, self._sync)

    async def succeed(self, lock: IO[str]) -> None:
        """Wait until the owner has ended, then be the owner. Until cancelled. Raises CannotConnect.

        Another process may have become the owner meanwhile, and have had to take another port.
        """
        while not locked(lock):
            await trio.sleep(SUCCEED)
            now = read(self._folder)
            if now is not None and now.url != self.url:
                raise CannotConnect(
                    f"the embedded nats-server of {self._folder} has moved from {self.url} to {now.url}, since another "
                    "program has taken its port: open the runtime again"
                )
        _log.warning("the owner of the embedded nats-server on %s has ended; this process runs it now", self._folder)
        await self._start_again()
        await self.keep()

    async def end(self) -> None:
        """Stop the server, if this process runs it; not to be cancelled."""
        if self._process is None:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * STOP_TIMEOUT):
            await stop(self._process)
        with suppress(OSError):  # the disk may have become read-only
            (self._folder / "server.json").unlink(missing_ok=True)

    async def keep(self) -> None:
        """Keep the server running until cancelled. The pauses grow if it is in trouble again and again."""
        pause, restarts = Backoff(initial_interval=0.2, max_interval=30.0), 0
        while True:
            started_at = trio.current_time()
            _log.warning("the embedded nats-server %s; it is started again", await self._trouble())
            restarts = 1 if trio.current_time() - started_at > WELL else restarts + 1
            if restarts > 1:
                await trio.sleep(pause.delay(restarts - 1))
            await self._start_again()

    async def _trouble(self) -> str:
        """Wait for a reason to start the server again, and return it."""
        looked_at = trio.current_time()
        assert self._process is not None
        while self._process.poll() is None:
            if trio.current_time() - looked_at >= LOOK:
                looked_at = trio.current_time()
                why = await why_it_stopped_writing(self._monitoring)
                if why is not None:
                    return f"has stopped writing to {self._folder}: {why}"
            await trio.sleep(POLL)
        return f"ended with {self._process.returncode}"

    async def _start_again(self) -> None:
        """Start it once the folder takes writes: until then, if it still runs, it answers those who only read."""
        pause, failures, told_at = Backoff(initial_interval=0.2, max_interval=2.0), 0, -inf
        while (why := await self._why_not_started()) is not None:
            failures += 1
            if trio.current_time() - told_at >= REMIND:
                told_at = trio.current_time()
                _log.error("the embedded nats-server cannot be started again yet: %s: sagas wait", why)
            await trio.sleep(pause.delay(failures))
        _log.warning("the embedded nats-server was started again")

    async def _why_not_started(self) -> str | None:
        why = await why_not_writable(self._folder)
        if why is not None:
            return f"{self._folder} cannot be written to: {why}"
        if self._process is not None:
            await stop(self._process)
        try:
            await self.start()
        except (CannotConnect, OSError) as error:
            return str(error)
        return None
