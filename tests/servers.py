"""Real nats-servers for tests: with any options, on free ports of the loopback, ended by pid."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sagakit.jetstream.ports import free_port
from sagakit.jetstream.server_process import find_server

READY = 60.0


class Server:
    """A server process; a test can kill it and start it again on the same port and data."""

    def __init__(self, folder: Path, *, config: str = "", jetstream: str | None = "") -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["host: 127.0.0.1", f"port: {self.port}", config]
        if jetstream is not None:
            lines.append(f'jetstream {{ store_dir: "{folder / "js"}"\n{jetstream} }}')
        (folder / "nats.conf").write_text("\n".join(lines))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "nats.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [find_server(), "-c", str(self.folder / "nats.conf")], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + READY
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "nats.log").read_text())

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.05)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server with its connections open: the kernel accepts data for it as long as there is room."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server with SIGKILL, as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running_server(folder: Path, *, config: str = "", jetstream: str | None = "") -> Iterator[Server]:
    server = Server(folder, config=config, jetstream=jetstream)
    server.start()
    try:
        yield server
    finally:
        server.stop()
