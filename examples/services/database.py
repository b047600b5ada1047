"""A service over a SQLite file of its own: what it books and its keys are written in one transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sagakit.participant import Service, SqlKeys, keys_table_sql, open_asyncio_participant


def serve(service: Service, schema: str) -> None:
    """Serve until SIGTERM or SIGINT, at the server that NATS_URL names, with a database in the working directory."""
    asyncio.run(_serve(service, schema))


async def _serve(service: Service, schema: str) -> None:
    file = f"{service.service}.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(schema + keys_table_sql("sqlite"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys = SqlKeys(lambda: transaction(file))
    async with open_asyncio_participant(os.environ["NATS_URL"], service, keys=keys):
        print(f"{service.service} serves", flush=True)
        await stop.wait()


@contextmanager
def transaction(file: str) -> Iterator[sqlite3.Connection]:
    """Open a transaction. Commit at the end; roll back if the body raises."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with db:
            yield db
