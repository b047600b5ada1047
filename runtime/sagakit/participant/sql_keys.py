"""Keys in a table of the user's own database: the work and its key are one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec

from sagakit.errors import InvalidInput, NotAllowed
from sagakit.participant.key_store import GONE, Busy, DoWork, KeptReply, UndoWork
from sagakit.sql import (
    NOW,
    Dialect,
    SqlAnswer,
    commits_each_statement,
    connection_of,
    dialect_of,
    execute,
    execute_async,
    is_async,
)

TABLE = "sagakit_keys"
_DDL = """\
CREATE TABLE IF NOT EXISTS sagakit_keys (
    key TEXT PRIMARY KEY,
    reply TEXT,
    since DOUBLE PRECISION NOT NULL DEFAULT ({now})
);
CREATE INDEX IF NOT EXISTS sagakit_keys_since ON sagakit_keys (since);
"""
_LOCK = "SELECT pg_try_advisory_xact_lock(:number)"
"""PostgreSQL would let a second insert wait for the first transaction. The lock says at once that there is one."""
_RESERVE = f"INSERT INTO {TABLE} (key) VALUES (:key) ON CONFLICT (key) DO NOTHING"
_READ = f"SELECT reply FROM {TABLE} WHERE key = :key"
_KEEP = f"UPDATE {TABLE} SET reply = :reply WHERE key = :key"
_FREE = f"DELETE FROM {TABLE} WHERE key = :key AND reply IS NULL"

Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Any] | AbstractContextManager[Any]]
"""Begins a transaction, which is committed at the end of the context, and rolled back after an exception."""
_decoder = msgspec.json.Decoder(KeptReply)


def keys_table_sql(dialect: Dialect) -> str:
    """Return the SQL that creates the table of keys, for a migration. Running it again changes nothing.

    Raises InvalidInput for another database.
    """
    if dialect not in NOW:
        raise InvalidInput(f"dialect={dialect!r}: the table of keys knows {' and '.join(map(repr, NOW))}")
    return _DDL.format(now=NOW[dialect])


class SqlKeys:
    """Keys in the table `sagakit_keys` beside the business data, in PostgreSQL or SQLite.

    `begin` begins a transaction: `engine.begin` of SQLAlchemy (blocking or async), or a function of your own that
    yields a DB-API connection, a `psycopg.AsyncConnection` or one of aiosqlite. Handlers find the connection in
    `ctx.transaction`, and write through it: what they write and the key are committed together, or not at all. What a
    handler has written before it raises `Reject` is rolled back, and the refusal is kept.

    A blocking connection blocks the loop of the participant while a statement runs. `horizon` is for how many seconds
    a key is kept at the least; `prune` deletes older ones.

        keys = SqlKeys(engine.begin)
    """

    is_atomic = True

    def __init__(self, begin: Begin, *, horizon: float | None = None) -> None:
        if horizon is not None and not horizon > 0:
            raise InvalidInput(f"horizon={horizon!r}: give the seconds for which a key is kept, or None for ever")
        self._begin = begin
        self.horizon = horizon

    async def do(self, key: str, work: DoWork) -> KeptReply:
        """Do the work under a key once, and return what is kept. Raises Busy, and what `work` raises."""
        async with self._transaction() as transaction:
            kept = await transaction.reserve(key)
            if kept is None:
                await transaction.run("SAVEPOINT sagakit_work")
                kept = await work(transaction.given)
                if kept.answer != "done":
                    await transaction.run("ROLLBACK TO SAVEPOINT sagakit_work")
                await transaction.run(_KEEP, key=key, reply=_text(kept))
        return kept

    async def burn(self, key: str, undo: UndoWork) -> None:
        """Call `undo`, and burn the key; do nothing if it is burnt. Raises Busy, and what `undo` raises."""
        async with self._transaction() as transaction:
            kept = await transaction.reserve(key)
            if kept != GONE:
                await undo(transaction.given, kept)
                await transaction.run(_KEEP, key=key, reply=_text(GONE))

    async def look(self, key: str) -> KeptReply | None:
        """Return the reply that is kept under a key; None if none is. Raises Busy."""
        async with self._transaction() as transaction:
            kept = await transaction.reserve(key)
            if kept is None:
                await transaction.run(_FREE, key=key)
        return kept

    async def prune(self) -> int:
        """Delete the keys that are older than `horizon`, and return how many there were. Raises NotAllowed without one.

        A command under a deleted key is not worked any more: its saga asks a person.
        """
        if self.horizon is None:
            raise NotAllowed("these keys are kept for ever: open SqlKeys with horizon=...")
        async with self._transaction() as transaction:
            age = f"{NOW[transaction.dialect]} - since"
            return (await transaction.run(f"DELETE FROM {TABLE} WHERE {age} > :horizon", horizon=self.horizon)).changed

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Transaction]:
        context = self._begin()
        try:
            if isinstance(context, AbstractAsyncContextManager):
                async with context as given:
                    yield await _transaction_of(given)
            else:
                with context as given:
                    yield await _transaction_of(given)
        except Exception as error:  # raised again, but for SQLite's word that another program writes
            if _is_locked(error):
                raise Busy("another program has locked the database") from error
            raise


class _Transaction:
    """A transaction that is open; `given` is what the user's function has yielded."""

    def __init__(self, given: Any, connection: Any) -> None:
        self.given = given
        self._connection = connection
        self.dialect: Dialect = dialect_of(connection)

    async def run(self, sql: str, **values: Any) -> SqlAnswer:
        if is_async(self._connection):
            return await execute_async(self._connection, sql, values)
        return execute(self._connection, sql, values)

    async def reserve(self, key: str) -> KeptReply | None:
        """Keep other transactions from the key until this one ends; return what is kept of it. Raises Busy."""
        if self.dialect == "postgresql":
            ((free,),) = (await self.run(_LOCK, number=_number(key))).rows
            if not free:
                raise Busy(key)
        await self.run(_RESERVE, key=key)  # SQLite locks the database with the first write
        ((reply,),) = (await self.run(_READ, key=key)).rows
        return None if reply is None else _decoder.decode(reply)


async def _transaction_of(given: Any) -> _Transaction:
    connection = await connection_of(given) if is_async(given) else given
    if commits_each_statement(connection):
        raise NotAllowed(
            "the connection commits each statement by itself (autocommit), so that the work and its key would not be "
            "one transaction: let begin= begin one"
        )
    return _Transaction(given, connection)


def _text(kept: KeptReply) -> str:
    return msgspec.json.encode(kept).decode()


def _number(key: str) -> int:
    """Return a number of 64 bits for a key. Two keys with one number would only wait for each other."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8, person=b"sagakit_keys").digest(), signed=True)


def _is_locked(error: BaseException | None) -> bool:
    """Return True for SQLite's word that another connection writes, which SQLAlchemy passes on in its own error."""
    cause = getattr(error, "orig", None) or error
    return any(base.__name__ == "OperationalError" for base in type(cause).__mro__) and "is locked" in str(cause)
