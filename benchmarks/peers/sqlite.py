"""SQLite files for peers: the journal is a property of the file, so it is set before the peer opens it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

FSYNC = 2
"""Value of `synchronous=FULL`, an fsync at each commit: SQLite's default."""


def prepare(file: Path, *, wal: bool) -> None:
    """Make the file, with a write-ahead log or with SQLite's default journal. Raises RuntimeError if it is refused."""
    wanted = "wal" if wal else "delete"
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(f"PRAGMA journal_mode={wanted}").fetchone()[0]
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        connection.execute("CREATE TABLE placeholder (id INTEGER)")
        connection.execute("DROP TABLE placeholder")
    if (found, synchronous) != (wanted, FSYNC):
        raise RuntimeError(f"{file}: journal_mode={found}, synchronous={synchronous}; wanted {wanted} and {FSYNC}")


def check(file: Path, *, wal: bool) -> None:
    """Check that the peer has left the journal as it was. Raises RuntimeError."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if (found == "wal") != wal:
        raise RuntimeError(f"{file}: the peer changed journal_mode to {found}")
