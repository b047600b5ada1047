"""A PostgreSQL for the run: Debian's package, its default settings, on loopback, as an unprivileged user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psutil
from sagakit.jetstream.ports import free_port

from benchmarks.servers import cpu_of, process, wait_until

USER = "postgres"
READY = 30.0
"""Seconds until it must take connections."""


class Postgres(msgspec.Struct, frozen=True):
    """A running server; `url` names no database."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Return the CPU seconds of the server and of its living children."""
        return cpu_of(self.pid) + sum(cpu_of(child.pid) for child in psutil.Process(self.pid).children(recursive=True))


def find(program: str) -> str | None:
    """Return the path of a program of PostgreSQL; Debian keeps some of them off PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places = (shutil.which(program), *(shutil.which(program, path=str(folder)) for folder in folders))
    return next((place for place in places if place is not None), None)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server while the context is open. Raises RuntimeError when it does not start or does not fsync."""
    port = free_port()
    with TemporaryDirectory(prefix="sagakit-postgres-") as name:
        folder = Path(name)
        if os.getuid() == 0:  # it refuses to run as root
            shutil.chown(folder, USER)
        data = folder / "data"
        _run("initdb", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "-D", str(data))
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        command = [*_as_user(), _must_find("postgres"), "-D", str(data)]
        command += [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        with process(command, log=folder / "log") as running:
            where = ["-h", "127.0.0.1", "-p", str(port), "-U", USER]
            ready = [_must_find("pg_isready"), "-q", *where]
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, running, READY)
            _check(where)
            yield Postgres(f"postgresql://{USER}@127.0.0.1:{port}", running.pid)


def _check(where: list[str]) -> None:
    for setting in ("fsync", "synchronous_commit"):
        command = [_must_find("psql"), "-X", "-t", "-A", "-c", f"SHOW {setting}", *where]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        if found != "on":
            raise RuntimeError(f"PostgreSQL says {setting}={found}")


def _run(program: str, *args: str) -> None:
    done = subprocess.run([*_as_user(), _must_find(program), *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program}: {done.stderr}")


def _as_user() -> list[str]:
    """Return the command as another user. `setpriv` execs, so that the started process is the server itself."""
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--"]


def _must_find(program: str) -> str:
    found = find(program)
    if found is None:
        raise RuntimeError(f"no {program}: apt-get install postgresql")
    return found
