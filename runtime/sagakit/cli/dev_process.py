"""`sagakit dev`: a server, a worker that restarts when its code changes, and the console, for one developer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from logging import getLogger
from pathlib import Path

import msgspec
import trio

from sagakit.cli.console_process import client_options, everyone, failed
from sagakit.cli.exits import CommandExit
from sagakit.cli.listening import answering, listen
from sagakit.cli.stop import Stop, stop_signals
from sagakit.client.bare_errors import bare_errors
from sagakit.client.client_opening import ClientOptions, open_client
from sagakit.errors import LayoutMissing, StreamMissing
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.server_process import die_with, ended, stop
from sagakit.system.config import Config
from sagakit.web.application import app
from sagakit.web.guard import LOOPBACK_HOSTS
from sagakit.web.visitors import Everyone

LOOK = 0.5
"""Seconds between two looks at the files, and at whether the first worker is up."""
DRAIN = "3"
"""Seconds that the attempts of a worker get to end when it restarts. It is killed after STOP_TIMEOUT."""
_log = getLogger("sagakit.dev")


class DevCall(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command. `folder` has the data of the server; with `reset` they are removed first."""

    sagas: str
    folder: Path
    listen: str
    reset: bool = False


def run(call: DevCall) -> CommandExit:
    """Serve until a signal comes, and return the exit code. Errors go to the log."""
    with stop_signals() as signalled:
        try:
            with bare_errors(), listen(call.listen, option="listen") as listening:
                instead = "run `sagakit worker`, and `sagakit web` with --tokens FILE"
                trio.run(_develop, call, listening, everyone("admin", listening, instead=instead), signalled)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            return failed(error)
    return CommandExit.DRAINED


async def _develop(call: DevCall, listening: socket.socket, visitors: Everyone, signalled: Stop) -> None:
    options = client_options(Config.load(None))  # the worker has the same variables
    with trio.CancelScope() as until_stopped:
        signalled.then(until_stopped.cancel)
        async with (
            embedded_server(call.folder, sync="relaxed", anew=call.reset) as url,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_work, call.sagas, url)
            await _until_worker_is_up(url, options)
            async with open_client(url, **options) as client:
                hosts = LOOPBACK_HOSTS | {listening.getsockname()[0]}
                console = app(client, authentication=visitors, read_only=False, hosts=hosts)
                async with answering(listening, console) as address:
                    _log.info("the console is at %s; NATS is at %s", address, url, extra={"url": address, "nats": url})
                    await trio.sleep_forever()


async def _until_worker_is_up(url: str, options: ClientOptions) -> None:
    """Wait for the lease of a worker. It takes one once the buckets are made and its definitions are kept."""
    while True:
        with suppress(LayoutMissing, StreamMissing):
            async with open_client(url, **options) as client:
                if await client.repository.leases():
                    return
        await trio.sleep(LOOK)


async def _work(sagas: str, url: str) -> None:
    """Run a worker, another one each time that a file has changed."""
    while True:
        before = python_files(Path.cwd())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run_worker, sagas, url)
            changed = await _changed(before)
            _log.info("%s has changed: the worker restarts", changed)
            nursery.cancel_scope.cancel()


async def _run_worker(sagas: str, url: str) -> None:
    """Run a worker until it ends; cancelled, tell it to end, and wait until it is gone. It dies with this process."""
    worker = _start_worker(sagas, url)
    try:
        await ended(worker)
    finally:
        with trio.CancelScope(shield=True):
            await stop(worker)
    _log.warning(
        "the worker has ended with exit code %d: once you have mended a file, it starts again. For a plan that has "
        "changed under the same version: count the version up, or lose all sagas by `sagakit dev --reset`",
        worker.returncode,
    )


def _start_worker(sagas: str, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sagakit", "worker", sagas, "--nats", url, "--drain-timeout", DRAIN]
    return subprocess.Popen(command, preexec_fn=die_with(os.getpid()))  # forked by trio's thread, and dies with it


async def _changed(before: Mapping[Path, int]) -> str:
    """Return the name of a file that has changed, come or gone, once there is one."""
    while True:
        await trio.sleep(LOOK)
        now = await trio.to_thread.run_sync(python_files, Path.cwd())
        if found := sorted({path for path, _ in before.items() ^ now.items()}):
            return str(found[0].relative_to(Path.cwd()))


def python_files(folder: Path) -> Mapping[Path, int]:
    """Return the Python files below a folder with the times of their last change.

    Hidden folders, environments and links to folders, which may lead in a circle, are left out.
    """
    return dict(_python_files(folder))


def _python_files(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in folder.iterdir():
        try:
            if path.suffix == ".py":
                yield path, path.stat().st_mtime_ns
            elif _is_watched(path):
                yield from _python_files(path)
        except OSError:  # it has gone meanwhile
            continue


def _is_watched(path: Path) -> bool:
    is_folder = path.is_dir() and not path.is_symlink()
    return is_folder and not path.name.startswith(".") and not (path / "pyvenv.cfg").exists()
