"""A participant under chaos: `python -m tests.chaos.participant --url URL --folder F --name p1`.

All of them serve the service `depot` over one database, `depot.sqlite3`. Each piece of work is a row of its table
`work`, written in the transaction that keeps its key. Replies wait for a time that the key decides, after the commit,
so that kills and pauses meet work of which no reply is out.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sagakit.participant import CommandContext, Reject, Service, SqlKeys, keys_table_sql, open_asyncio_participant
from sagakit.participant.key_store import DoWork, KeptReply, UndoWork

from tests.chaos.depot import REMOTE_STEPS, Asked

SLOWEST = 1.0
"""Greatest delay of a reply in seconds."""
_TABLE = "CREATE TABLE IF NOT EXISTS work (at INTEGER, kind TEXT, step TEXT, key TEXT, run TEXT, attempt INTEGER)"


class SlowKeys(SqlKeys):
    """Keys whose replies wait for a while after the work is committed."""

    async def do(self, key: str, work: DoWork) -> KeptReply:
        kept = await super().do(key, work)
        await asyncio.sleep(_delay(key))
        return kept

    async def burn(self, key: str, undo: UndoWork) -> None:
        await super().burn(key, undo)
        await asyncio.sleep(_delay(key) / 2)


class NoKeys(SlowKeys):
    """A bug to run with: keys that remember nothing, so that a command which comes again is worked again."""

    async def do(self, key: str, work: DoWork) -> KeptReply:
        async with self._transaction() as transaction:
            kept: KeptReply = await work(transaction.given)
        await asyncio.sleep(_delay(key))
        return kept


def _delay(key: str) -> float:
    share: float = hashlib.sha256(key.encode()).digest()[0] / 255
    return SLOWEST * share**2


def depot() -> Service:
    """Return the service with an endpoint for each remote step, its undo and its check."""
    service = Service("depot")
    for step in REMOTE_STEPS:
        _serve(service, step)
    return service


def _serve(service: Service, step: str) -> None:
    @service.endpoint(step)
    async def do(asked: Asked, ctx: CommandContext) -> str:
        _note("do", step, ctx)
        ctx.heartbeat()  # most work is done before one is due
        ctx.progress(step)
        if asked.refuse:
            raise Reject("refused", step=step)  # the row is rolled back
        return step

    @do.undo(f"undo-{step}")
    async def undo(asked: Asked, done: str | None, ctx: CommandContext) -> None:
        _note("undo", step, ctx)

    do.check_name = f"check-{step}"  # the keys say it


def _note(kind: str, step: str, ctx: CommandContext) -> None:
    values = (time.time_ns(), kind, step, ctx.key, ctx.run, ctx.attempt)
    ctx.transaction.execute("INSERT INTO work VALUES (?, ?, ?, ?, ?, ?)", values)


def make_database(folder: Path) -> None:
    """Make the participants' database."""
    with closing(sqlite3.connect(folder / "depot.sqlite3")) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; {_TABLE}; {keys_table_sql('sqlite')}")


async def main(url: str, folder: Path, name: str, keys: type[SqlKeys]) -> None:
    """Serve until SIGTERM."""
    path = folder / "depot.sqlite3"

    @contextmanager
    def begin() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, timeout=0.5)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")  # processes are killed here, and not the machine
            yield connection

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_asyncio_participant(url, depot(), keys=keys(begin), connect_timeout=60.0):
        (folder / f"{name}.ready").touch()
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.participant")
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--no-keys", action="store_true", help="run with this bug")
    given = parser.parse_args()
    asyncio.run(main(given.url, given.folder, given.name, NoKeys if given.no_keys else SlowKeys))
