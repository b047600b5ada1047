"""Restate: its server, a service of its Python SDK behind hypercorn, and a client over HTTP, each in a process.

`python -m benchmarks.peers.restate_peer` is the client, which starts the others; with `serve PORT` it is the service.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from sagakit.jetstream.ports import free_port

from benchmarks.peers.harness import Task, Work, answer, measure
from benchmarks.result import Figures
from benchmarks.servers import cpu_of, process, wait_until

READY = 60.0
"""Seconds until server and service must be up."""
INSTALLED = Path(sys.prefix) / "npm" / "node_modules" / "@restatedev"
"""Folder in which `make peers` installs it, with a package for each platform."""


def find() -> str | None:
    """Return the server's program, from `make peers` or from PATH: not npm's script, which would run in between."""
    installed = next((str(file) for file in INSTALLED.glob("restate-server-*/bin/restate-server")), None)
    return installed or shutil.which("restate-server")


# ----------------------------------------------------------------- service


def application() -> Any:
    """Return the service: each step is a `ctx.run`, undone in an `except` as in Restate's guide to sagas."""
    restate: Any = import_module("restate")
    service = restate.Service("bench")

    async def act() -> str:
        return "made"

    async def undo() -> None:
        return None

    async def refuse() -> str:
        raise restate.TerminalError("no")

    @service.handler("steps")  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def steps(ctx: Any, number: int) -> str:
        made = ""
        for step in ("one", "two", "three"):
            made = await ctx.run_typed(step, act)
        return made

    @service.handler("refused")  # type: ignore[untyped-decorator]  # loaded by name: it is optional
    async def refused(ctx: Any, number: int) -> str:
        await ctx.run_typed("one", act)
        await ctx.run_typed("two", act)
        try:
            return str(await ctx.run_typed("three", refuse))
        except restate.TerminalError:
            await ctx.run_typed("undo two", undo)
            await ctx.run_typed("undo one", undo)
            return "undone"

    return restate.app(services=[service])


def serve(port: int) -> None:
    """Run the service with the settings that Restate's docs give for hypercorn in production."""
    hypercorn: Any = import_module("hypercorn")
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = 2147483647
    config.keep_alive_max_requests = 2147483647
    config.keep_alive_timeout = 2147483647
    asyncio.run(import_module("hypercorn.asyncio").serve(application(), config))


# ------------------------------------------------------------------ client


async def run(task: Task) -> Figures:
    """Start server and service, register, and measure. The client's CPU is left out."""
    ingress, admin, node, service = (free_port() for _ in range(4))
    with _server(Path(task.folder), ingress, admin, node) as server, _service(Path(task.folder), service) as app:
        _register(admin, service)
        client = _Client(ingress)
        return await measure(task, client.one, cpu=lambda: cpu_of(app.pid), server_cpu=lambda: _tree_cpu(server.pid))


def _tree_cpu(pid: int) -> float:
    return cpu_of(pid) + sum(cpu_of(child.pid) for child in psutil.Process(pid).children(recursive=True))


@contextmanager
def _server(folder: Path, ingress: int, admin: int, node: int) -> Iterator[subprocess.Popen[bytes]]:
    found = find()
    assert found is not None, "the catalogue looks first"
    _check_fsync(found)
    env = {
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": str(node),
        "RESTATE_INGRESS__BIND_PORT": str(ingress),
        "RESTATE_ADMIN__BIND_PORT": str(admin),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    command = [found, "--base-dir", str(folder / "data"), "--no-logo"]
    with process(command, log=folder / "server.log", env=env, cwd=folder) as running:
        wait_until(lambda: _ok(f"http://127.0.0.1:{admin}/health"), running, READY)
        wait_until(lambda: _ok(f"http://127.0.0.1:{ingress}/restate/health"), running, READY)
        yield running


def _check_fsync(program: str) -> None:
    """Check that its log calls fsync. Raises RuntimeError."""
    config = subprocess.run([program, "--dump-config"], capture_output=True, text=True, check=True).stdout
    if "rocksdb-disable-wal-fsync = true" in config or "rocksdb-disable-wal-fsync = false" not in config:
        raise RuntimeError("restate-server does not say that its write-ahead log is fsynced")


@contextmanager
def _service(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks.peers.restate_peer", "serve", str(port)]
    with process(command, log=folder / "service.log", cwd=Path.cwd()) as running:
        wait_until(lambda: _listens(port), running, READY)
        yield running


def _register(admin: int, service: int) -> None:
    body = json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments", body, {"content-type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=READY).close()


def _ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class _Client:
    """A client for HTTP/1.1 with kept connections, as cheap as Python can: it is not part of the measurement."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def one(self, work: Work, number: int) -> bool:
        """Call the handler and wait for its answer."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        body = str(number)
        writer.write(
            f"POST /bench/{work} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        found = await reader.readexactly(length)
        self._idle.append((reader, writer))
        return head.startswith(b"http/1.1 200") and found == (b'"made"' if work == "steps" else b'"undone"')


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        answer(run)
