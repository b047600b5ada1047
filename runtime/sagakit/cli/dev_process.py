"""`sagakit dev`: a server, a worker that starts anew when its code changes, and the console, for one developer."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from logging import getLogger
from pathlib import Path

import msgspec
import trio

from sagakit.cli.console_process import client_options, failed, login
from sagakit.cli.exits import CommandExit
from sagakit.cli.listening import answering, listen
from sagakit.cli.stop import Stop, stop_signals
from sagakit.client.bare_errors import bare_errors
from sagakit.client.client_opening import ClientOptions, open_client
from sagakit.errors import LayoutMissing
from sagakit.jetstream.embedded import embedded_server
from sagakit.system.config import Config
from sagakit.web.application import app
from sagakit.web.guard import LOOPBACK_HOSTS
from sagakit.web.visitors import Everyone

LOOK = 0.5
"""Seconds between two looks at the files, and at whether the first worker has made the buckets."""
DRAIN = "3"
"""Seconds that the attempts of a worker get to end when it starts anew; trio kills it after five."""
_log = getLogger("sagakit.dev")


class DevCall(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command. `folder` has the data of the server; with `reset` it is emptied first."""

    sagas: str
    folder: Path
    listen: str
    reset: bool = False


def run(call: DevCall) -> CommandExit:
    """Serve until a signal comes, and return the exit code. Errors go to the log."""
    with stop_signals() as stop:
        try:
            with bare_errors(), listen(call.listen, option="listen") as listening:
                trio.run(_develop, call, listening, stop)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            return failed(error)
    return CommandExit.DRAINED


async def _develop(call: DevCall, listening: socket.socket, stop: Stop) -> None:
    options = client_options(Config.load(None))  # the worker has the same variables
    if call.reset:
        shutil.rmtree(call.folder, ignore_errors=True)
    with trio.CancelScope() as until_stopped:
        stop.then(until_stopped.cancel)
        async with embedded_server(call.folder, sync="relaxed") as url, trio.open_nursery() as nursery:
            nursery.start_soon(_work, call.sagas, url)
            await _until_laid_out(url, options)
            async with open_client(url, **options) as client:
                hosts = LOOPBACK_HOSTS | {listening.getsockname()[0]}
                everyone = Everyone("admin", name=login())
                console = app(client, authentication=everyone, read_only=False, hosts=hosts)
                async with answering(listening, console) as address:
                    _log.info("the console is at %s; NATS is at %s", address, url, extra={"url": address, "nats": url})
                    await trio.sleep_forever()


async def _until_laid_out(url: str, options: ClientOptions) -> None:
    """Wait until the worker has made the buckets and streams."""
    while True:
        try:
            async with open_client(url, **options):
                return
        except LayoutMissing:
            await trio.sleep(LOOK)


async def _work(sagas: str, url: str) -> None:
    """Run a worker, another one each time that a file has changed."""
    while True:
        before = python_files(Path.cwd())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run_worker, sagas, url)
            changed = await _changed(before)
            _log.info("%s has changed: the worker starts anew", changed)
            nursery.cancel_scope.cancel()  # SIGTERM, and a wait for its end


async def _run_worker(sagas: str, url: str) -> None:
    done = await trio.run_process(
        [sys.executable, "-m", "sagakit", "worker", sagas, "--nats", url, "--drain-timeout", DRAIN], check=False
    )
    _log.warning(
        "the worker has ended with exit code %d: once you have mended a file, it starts again. For a plan that has "
        "changed under the same version: count the version up, or lose all sagas by `sagakit dev --reset`",
        done.returncode,
    )


async def _changed(before: Mapping[Path, int]) -> str:
    """Return the name of a file that has changed, come or gone, once there is one."""
    while True:
        await trio.sleep(LOOK)
        now = await trio.to_thread.run_sync(python_files, Path.cwd())
        if found := sorted({path for path, _ in before.items() ^ now.items()}):
            return str(found[0].relative_to(Path.cwd()))


def python_files(folder: Path) -> Mapping[Path, int]:
    """Return the Python files below a folder with the times of their last change.

    Hidden folders and environments are left out.
    """
    return dict(_python_files(folder))


def _python_files(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in folder.iterdir():
        try:
            if path.suffix == ".py":
                yield path, path.stat().st_mtime_ns
            elif path.is_dir() and not path.name.startswith(".") and not (path / "pyvenv.cfg").exists():
                yield from _python_files(path)
        except OSError:  # it has gone meanwhile
            continue
