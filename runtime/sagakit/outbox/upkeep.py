"""The outbox's upkeep: create the table, look at it, and retry what was refused. For blocking connections.

SQLAlchemy runs each function on an AsyncSession or AsyncConnection by `await session.run_sync(outbox.status)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sagakit.outbox.outbox_table import TABLE, status_sql, table_sql
from sagakit.sql import dialect_of, execute


class OutboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of rows in an outbox."""

    waiting: int
    """Number of starts that no relay has made yet."""
    refused: int
    """Number of starts that were refused, and put aside."""
    oldest_age: float
    """Seconds since the oldest waiting row was written, by the database's clock; 0 if none waits."""


class RefusedStart(msgspec.Struct, frozen=True, kw_only=True):
    """A start that was refused, and put aside."""

    id: str
    """The id of the row, which `retry` takes."""
    saga_type: str
    """The type of the saga."""
    saga_id: str
    """The id of the saga."""
    reason: str
    """The error, in words."""
    created_at: float
    """Seconds since 1970 when the row was written, by the database's clock."""
    refused_at: float
    """Seconds since 1970 when the start was refused last, by the database's clock."""


def create_table(connection: Any) -> None:
    """Create the outbox's table if it is missing, in the transaction of the connection. Commits nothing."""
    for statement in table_sql(dialect_of(connection)).split(";"):
        if statement.strip():
            execute(connection, statement)


def status(connection: Any) -> OutboxStatus:
    """Return the numbers of rows in the outbox."""
    (waiting, refused, age), *_ = execute(connection, status_sql(dialect_of(connection))).rows
    return OutboxStatus(waiting=waiting, refused=refused, oldest_age=max(0.0, float(age or 0.0)))


def refused(connection: Any, *, limit: int = 100) -> Sequence[RefusedStart]:
    """Return the starts that were put aside, the oldest first."""
    found = execute(
        connection,
        f"SELECT id, saga_type, saga_id, reason, created_at, refused_at FROM {TABLE} "
        "WHERE reason IS NOT NULL ORDER BY seq LIMIT :limit",
        {"limit": limit},
    )
    return [
        RefusedStart(
            id=id, saga_type=saga_type, saga_id=saga_id, reason=reason, created_at=created_at, refused_at=refused_at
        )
        for id, saga_type, saga_id, reason, created_at, refused_at in found.rows
    ]


def retry(connection: Any, id: str | None = None) -> int:
    """Let a start that was put aside wait for a relay again, or all of them; return their number. Commits nothing."""
    text = f"UPDATE {TABLE} SET reason = NULL, refused_at = NULL WHERE reason IS NOT NULL"
    if id is None:
        return execute(connection, text).changed
    return execute(connection, f"{text} AND id = :id", {"id": id}).changed
