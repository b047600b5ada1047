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

from sagakit.cli import loading
from sagakit.cli.console_process import client_options, everyone
from sagakit.cli.exits import CommandExit, exit_of_process, failed
from sagakit.cli.listening import answering, listen
from sagakit.cli.stop import Stop, held_back, stop_signals
from sagakit.client.bare_errors import bare_errors
from sagakit.client.client_opening import ClientOptions, open_client
from sagakit.errors import LayoutMissing, StreamMissing
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.server_process import die_with, ended, stop
from sagakit.system.config import Config
from sagakit.system.open_store import open_store
from sagakit.web.application import app
from sagakit.web.guard import LOOPBACK_HOSTS
from sagakit.web.visitors import Everyone

LOOK = 0.5
"""Seconds between two looks at the files, and at whether the first worker is up."""
LONGEST_PAUSE = 30.0
"""Seconds until a worker starts again that a signal has killed again and again; the first pause is LOOK."""
DRAIN = "3"
"""Seconds that the attempts of a worker get to end when it restarts. It is killed after STOP_TIMEOUT."""
_log = getLogger("sagakit.dev")


class DevCall(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command. `folder` has the data of the server; with `reset` they are removed first."""

    sagas: str
    folder: Path
    listen: str
    reset: bool = False
    payload_codec: str | None = None


def run(call: DevCall) -> CommandExit:
    """Serve until a signal comes, and return the exit code. Errors go to the log."""
    with stop_signals() as signalled:
        try:
            with bare_errors(), listen(call.listen, option="listen") as listening:
                instead = "run `sagakit worker`, and `sagakit web` with --tokens FILE"
                trio.run(_develop, call, listening, everyone("admin", listening, instead=instead), signalled)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            return failed(error, _log)
    return CommandExit.DRAINED


async def _develop(call: DevCall, listening: socket.socket, visitors: Everyone, signalled: Stop) -> None:
    config = Config.load(None)  # the worker has the same variables
    payloads = loading.payloads_of(call.payload_codec)
    with trio.CancelScope() as until_stopped:
        signalled.then(until_stopped.cancel)
        async with (
            embedded_server(call.folder, sync="relaxed", anew=call.reset) as url,
            trio.open_nursery() as nursery,
        ):
            has_ended = trio.Event()
            nursery.start_soon(_work, call, url, has_ended)
            await _until_worker_is_up(url, client_options(config), has_ended)
            if has_ended.is_set():  # there is a page to look at even if no worker has made the buckets yet
                async with open_store(url, config) as store:
                    await store.complete_layout()
            async with open_client(url, payload_codec=payloads.codecs, **client_options(config)) as client:
                hosts = LOOPBACK_HOSTS | {listening.getsockname()[0]}
                console = app(client, authentication=visitors, read_only=False, hosts=hosts)
                async with answering(listening, console) as address:
                    _log.info("the console is at %s; NATS is at %s", address, url, extra={"url": address, "nats": url})
                    await trio.sleep_forever()


async def _until_worker_is_up(url: str, options: ClientOptions, has_ended: trio.Event) -> None:
    """Wait for the lease of a worker, or for its end. It takes one once its buckets and definitions are kept."""
    while not has_ended.is_set():
        with suppress(LayoutMissing, StreamMissing):
            async with open_client(url, **options) as client:
                if await client.repository.leases():
                    return
        await trio.sleep(LOOK)


async def _work(call: DevCall, url: str, has_ended: trio.Event) -> None:
    """Run a worker, another one each time that a file has changed. `has_ended` is set once one has not been stopped."""
    while True:
        before = python_files(Path.cwd())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_worker, call, url, has_ended)
            changed = await _changed(before)
            _log.info("%s has changed: the worker restarts", changed)
            nursery.cancel_scope.cancel()


async def _keep_worker(call: DevCall, url: str, has_ended: trio.Event) -> None:
    """Run a worker, another one if a signal has killed it, until one ends with an error."""
    pause = LOOK
    while (returncode := await _run_worker(call, url)) < 0:
        has_ended.set()  # the console need not wait for a worker that is killed again and again
        _log.warning("the worker was killed by signal %d: it starts again, and its sagas go on", -returncode)
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    advice = (
        "; if a plan has changed under the same version, count the version up, or lose all sagas by `sagakit dev "
        "--reset`"
        if exit_of_process(returncode) is CommandExit.DEFINITION
        else ""
    )
    _log.warning(
        "the worker has ended with exit code %d: once you have mended a file, it starts again%s", returncode, advice
    )
    has_ended.set()


async def _run_worker(call: DevCall, url: str) -> int:
    """Run a worker, and return its exit code; cancelled, tell it to end, and wait. It dies with this process."""
    worker = _start_worker(call, url)
    try:
        await ended(worker)
    finally:
        with trio.CancelScope(shield=True):
            await stop(worker)
    return worker.returncode


def _start_worker(call: DevCall, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sagakit", "worker", call.sagas, "--nats", url, "--drain-timeout", DRAIN]
    if call.payload_codec is not None:
        command += ["--payload-codec", call.payload_codec]
    with held_back():  # Ctrl-C in a terminal reaches the worker, too
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
