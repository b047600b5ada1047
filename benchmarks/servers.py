"""The server under measurement: one node or a cluster of three, on loopback, in a temporary folder.

It ends with the thread that asked for it, however that thread ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import psutil
from sagakit.jetstream.ports import free_port
from sagakit.jetstream.server_process import Sync, environment, find_server

READY = 20.0
"""Seconds until every node must be healthy; a cluster elects a leader first."""
STOP = 10.0
"""Seconds that a node gets to stop before it is killed."""
PR_SET_PDEATHSIG = 1


class Servers(msgspec.Struct, frozen=True):
    """Running servers. `replicas` is the number of copies to make buckets and streams with, `http` their ports."""

    url: str
    pids: tuple[int, ...]
    replicas: int
    http: tuple[int, ...]

    def cpu(self) -> float:
        """Return the CPU seconds that the nodes have used so far."""
        return sum(cpu_of(pid) for pid in self.pids)

    def messages(self) -> int:
        """Return the number of messages of every kind that clients have sent to the nodes so far."""
        return sum(_traffic(port).in_msgs for port in self.http)

    def answers(self) -> int:
        """Return the number of messages of every kind that the nodes have sent to clients so far."""
        return sum(_traffic(port).out_msgs for port in self.http)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of one process, its ended children not counted."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def servers(*, sync: Sync, nodes: Literal[1, 3] = 1) -> Iterator[Servers]:
    """Run fresh servers on a temporary folder while the context is open. Raises RuntimeError if one does not start."""
    ports = [(free_port(), free_port(), free_port()) for _ in range(nodes)]
    with tempfile.TemporaryDirectory(prefix="sagakit-bench-") as folder, ExitStack() as stack:
        env = (
            environment(sync) if nodes == 1 else None
        )  # the log that three nodes share syncs for many messages at once
        running = [
            stack.enter_context(
                process(_command(Path(folder), node, ports, sync), log=Path(folder) / f"{node}.log", env=env)
            )
            for node in range(nodes)
        ]
        for (_, http, _), one in zip(ports, running, strict=True):
            wait_until(lambda http=http: _healthy(http), one, READY)  # type: ignore[misc]  # mypy: default of a lambda
        yield Servers(
            ",".join(f"nats://127.0.0.1:{port}" for port, _, _ in ports),
            tuple(one.pid for one in running),
            nodes,
            tuple(http for _, http, _ in ports),
        )


def _command(folder: Path, node: int, ports: Sequence[tuple[int, int, int]], sync: Sync) -> list[str]:
    client, http, route = ports[node]
    always = "sync_interval: always" if sync == "always" else ""
    lines = [
        f"host: 127.0.0.1\nport: {client}\nhttp: 127.0.0.1:{http}\nserver_name: n{node}\nmax_payload: 1MB",
        f'jetstream {{ store_dir: "{folder / str(node)}"\n{always} }}',
    ]
    if len(ports) > 1:
        routes = ", ".join(f'"nats://127.0.0.1:{other}"' for _, _, other in ports)
        lines.append(f"cluster {{ name: bench, host: 127.0.0.1, port: {route}, routes: [{routes}] }}")
    file = folder / f"{node}.conf"
    file.write_text("\n".join(lines) + "\n")
    return [find_server(), "-c", str(file)]


@contextmanager
def process(
    command: Sequence[str], *, log: Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server process while the context is open; it is stopped at the end, and dies with this process."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=None if env is None else os.environ | env,
            cwd=cwd,
            preexec_fn=die_with_owner,
        )
    try:
        yield running
    except RuntimeError as error:
        error.add_note("\n".join(log.read_text(errors="replace").splitlines()[-5:]))
        raise
    finally:
        running.terminate()
        try:
            running.wait(STOP)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def die_with_owner() -> None:
    """Prepare the child between fork and exec: it ends when its owner is killed.

    The forking thread must outlive the child.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], running: subprocess.Popen[bytes], seconds: float) -> None:
    """Poll until it is ready. Raises RuntimeError when the time is over or the process has ended."""
    deadline = time.monotonic() + seconds
    while not holds():
        if running.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{running.args!r} did not get ready within {seconds:g} s ({running.returncode})")
        time.sleep(0.05)


class _Varz(msgspec.Struct):
    in_msgs: int
    out_msgs: int


def _traffic(port: int) -> _Varz:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz", timeout=10) as answer:
        return msgspec.json.decode(answer.read(), type=_Varz)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as answer:
        answer.close()
        return False
    except (urllib.error.URLError, OSError):
        return False
