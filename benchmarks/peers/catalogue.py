"""The peers: how to install each, its requirements, the meaning of its settings, and how many sagas suit it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from benchmarks.peers import restate_peer
from benchmarks.peers.postgres import find as find_postgres

POSTGRES = "apt-get install postgresql"
DBOS = "pip install dbos 'psycopg[binary]'"
EDDA = "pip install edda-framework"
RESTATE = "pip install restate-sdk hypercorn; npm install --prefix .venv/npm @restatedev/restate-server"
COMMIT = "an fsync at each commit: survives a power cut"


class Peer(NamedTuple):
    """A row of the benchmark. `inflight` is the peer's best number; `sagas` a run at full scale; `packages` from PyPI.

    `is_ready` returns True if its requirements outside of PyPI are installed.
    """

    name: str
    module: str
    store: str
    settings: str
    install: str
    packages: tuple[str, ...]
    sagas: int
    inflight: int
    is_ready: Callable[[], object] = lambda: True

    def missing(self) -> str:
        """Return why it cannot run, and the line that helps; empty if it can."""
        wanted = [name for name in self.packages if _version(name) is None]
        if not wanted and self.is_ready():
            return ""
        return f"{self.name} left out: {', '.join(wanted) or 'its server'} not found; {self.install}"

    def versions(self) -> str:
        """Return the versions that run."""
        return ", ".join(f"{name} {_version(name)}" for name in self.packages)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_DBOS = "benchmarks.peers.dbos_peer"
_EDDA = "benchmarks.peers.edda_peer"

PEERS = (
    Peer(
        "Restate",
        "benchmarks.peers.restate_peer",
        "default",
        "write-ahead log with fsync, as it comes; hypercorn with the settings of Restate's docs, one process",
        RESTATE,
        ("restate-sdk", "hypercorn"),
        4_000,
        1_000,
        restate_peer.find,
    ),
    Peer(
        "DBOS, PostgreSQL",
        _DBOS,
        "postgres",
        f"fsync=on, synchronous_commit=on: {COMMIT}",
        f"{DBOS}; {POSTGRES}",
        ("dbos", "psycopg"),
        800,
        10,
        lambda: find_postgres("initdb"),
    ),
    Peer(
        "DBOS, SQLite",
        _DBOS,
        "sqlite",
        f"journal_mode=delete, synchronous=FULL, its default: {COMMIT}",
        DBOS,
        ("dbos",),
        500,
        10,
    ),
    Peer(
        "DBOS, SQLite WAL",
        _DBOS,
        "sqlite-wal",
        f"journal_mode=WAL set before it opens the file, synchronous=FULL: {COMMIT}",
        DBOS,
        ("dbos",),
        800,
        10,
    ),
    Peer(
        "Edda, SQLite",
        _EDDA,
        "sqlite",
        f"journal_mode=delete, synchronous=FULL, its default: {COMMIT}",
        EDDA,
        ("edda-framework",),
        150,
        10,
    ),
    Peer(
        "Edda, SQLite WAL",
        _EDDA,
        "sqlite-wal",
        f"journal_mode=WAL set before it opens the file, synchronous=FULL: {COMMIT}",
        EDDA,
        ("edda-framework",),
        150,
        10,
    ),
)
