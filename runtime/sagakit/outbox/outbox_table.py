"""The outbox's table: its SQL for PostgreSQL and SQLite, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sagakit.errors import InvalidInput
from sagakit.sql import NOW, Dialect

TABLE = "sagakit_outbox"

_SEQ: dict[Dialect, str] = {
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
}

_DDL = """\
CREATE TABLE IF NOT EXISTS sagakit_outbox (
    seq {seq},
    id TEXT NOT NULL UNIQUE,
    saga_type TEXT NOT NULL,
    saga_id TEXT NOT NULL,
    input TEXT NOT NULL,
    attributes TEXT,
    correlation_id TEXT,
    causation_id TEXT,
    trace TEXT,
    created_at DOUBLE PRECISION NOT NULL DEFAULT ({now}),
    refused_at DOUBLE PRECISION,
    reason TEXT
);
CREATE INDEX IF NOT EXISTS sagakit_outbox_waiting ON sagakit_outbox (seq) WHERE reason IS NULL;
"""

_FIELDS = "seq, id, saga_type, saga_id, input, attributes, correlation_id, causation_id, trace"

INSERT = f"""INSERT INTO {TABLE} (id, saga_type, saga_id, input, attributes, correlation_id, causation_id, trace)
VALUES (:id, :saga_type, :saga_id, :input, :attributes, :correlation_id, :causation_id, :trace)"""


class OutboxRow(msgspec.Struct, frozen=True):
    """A start that waits. `id` is the message id of the start; input, attributes and trace are JSON."""

    seq: int
    id: str
    saga_type: str
    saga_id: str
    input: str
    attributes: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: str | None = None


def table_sql(dialect: Dialect) -> str:
    """Return the SQL that creates the outbox's table, for a migration. Running it again changes nothing.

    Raises InvalidInput for another database.
    """
    if dialect not in _SEQ:
        raise InvalidInput(f"dialect={dialect!r}: the outbox knows {' and '.join(map(repr, _SEQ))}")
    return _DDL.format(seq=_SEQ[dialect], now=NOW[dialect])


def claim_sql(dialect: Dialect, types: Sequence[str], limit: int) -> tuple[str, dict[str, Any]]:
    """Return the statement that reads the oldest waiting rows after `:after`, without its value of `after`.

    PostgreSQL locks them until the transaction ends, and leaves out the rows that another relay has locked.
    """
    names = {f"type{number}": name for number, name in enumerate(types)}
    places = ", ".join(f":{name}" for name in names)
    lock = " FOR UPDATE SKIP LOCKED" if dialect == "postgresql" else ""
    text = (
        f"SELECT {_FIELDS} FROM {TABLE} WHERE reason IS NULL AND seq > :after AND saga_type IN ({places}) "
        f"ORDER BY seq LIMIT {limit}{lock}"
    )
    return text, names


def delete_sql(rows: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """Return the statement that deletes rows by `seq`, and its values."""
    values = {f"seq{number}": seq for number, seq in enumerate(rows)}
    return f"DELETE FROM {TABLE} WHERE seq IN ({', '.join(f':{name}' for name in values)})", values


def refuse_sql(dialect: Dialect) -> str:
    """Return the statement that puts the row `:seq` aside with its `:reason`."""
    return f"UPDATE {TABLE} SET reason = :reason, refused_at = {NOW[dialect]} WHERE seq = :seq"


def status_sql(dialect: Dialect) -> str:
    """Return the statement that counts the rows: those that wait, those put aside, and the age of the oldest."""
    return (
        f"SELECT (SELECT count(*) FROM {TABLE} WHERE reason IS NULL) AS waiting,"
        f" (SELECT count(*) FROM {TABLE} WHERE reason IS NOT NULL) AS refused,"
        f" (SELECT {NOW[dialect]} - created_at FROM {TABLE} WHERE reason IS NULL ORDER BY seq LIMIT 1) AS oldest_age"
    )
