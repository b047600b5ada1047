"""A relay's statements on its database: claim rows, settle them, look. For the relay's own thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sagakit.outbox.outbox_table import OutboxRow, claim_sql, delete_sql, refuse_sql
from sagakit.outbox.upkeep import OutboxStatus, status
from sagakit.sql import dialect_of, execute

R = TypeVar("R")

BATCH = 100
"""Rows of one claim, at most."""


class DatabaseFailed(Exception):
    """The database, or its driver, raised `error`. The connection is closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class Claims:
    """The connection of a relay: opened when it is needed, and anew after each error.

    Under PostgreSQL a claim's rows stay locked until they are settled, so that other relays leave them out. SQLite has
    one lock for all writers, and nobody may hold it while sagas are started: there two relays may start the same
    row, which is harmless, since the second start finds the saga of the first one.
    """

    def __init__(self, connect: Callable[[], Any], types: Sequence[str]) -> None:
        self._connect = connect
        self._types = types
        self._connection: Any = None

    def claim(self, after: int) -> Sequence[OutboxRow]:
        """Return the oldest rows that wait and come after `after`. Raises DatabaseFailed."""
        return self._performed(lambda connection: self._claim(connection, after))

    def settle(self, started: Sequence[int], refused: Mapping[int, str]) -> None:
        """Delete the rows whose sagas were started, put aside those refused, and commit. Raises DatabaseFailed."""
        self._performed(lambda connection: _settle(connection, started, refused))

    def look(self) -> OutboxStatus:
        """Return the numbers of rows. Raises DatabaseFailed."""
        return self._performed(_look)

    def close(self) -> None:
        """Give up what is claimed, and close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the database may be away; the server then ends the transaction by itself
                connection.rollback()
            with suppress(Exception):
                connection.close()

    def _performed(self, fn: Callable[[Any], R]) -> R:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return fn(self._connection)
        except Exception as error:  # each driver has errors of its own
            self.close()
            raise DatabaseFailed(error) from error

    def _claim(self, connection: Any, after: int) -> Sequence[OutboxRow]:
        dialect = dialect_of(connection)
        text, types = claim_sql(dialect, self._types, BATCH)
        rows = [OutboxRow(*row) for row in execute(connection, text, {**types, "after": after}).rows]
        if dialect == "sqlite" or not rows:
            connection.rollback()  # ends the read transaction: it would see no later rows, and hinder writers
        return rows


def _settle(connection: Any, started: Sequence[int], refused: Mapping[int, str]) -> None:
    if started:
        execute(connection, *delete_sql(started))
    for seq, reason in refused.items():
        execute(connection, refuse_sql(dialect_of(connection)), {"seq": seq, "reason": reason})
    connection.commit()


def _look(connection: Any) -> OutboxStatus:
    found = status(connection)
    connection.rollback()
    return found
