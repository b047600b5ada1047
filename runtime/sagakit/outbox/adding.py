"""`add` and `add_async`: write a start into the outbox, in the caller's own transaction."""

from __future__ import annotations

from typing import Any

import msgspec
from typing_extensions import TypeVar

from sagakit.definition import Saga, compiled
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.messages.ids import new_id
from sagakit.messages.start_context import StartContext
from sagakit.messages.validation import check_id, checked_context
from sagakit.naming import SagaKey
from sagakit.outbox.outbox_table import INSERT
from sagakit.sql import commits_each_statement, connection_of, execute, execute_async, is_async

D = TypeVar("D")


def add(
    connection: Any,
    saga: type[Saga[D, Any]],
    id: str | None,
    input: D,
    *,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    trace: dict[str, str] | None = None,
    attributes: dict[str, str] | None = None,
) -> str:
    """Have a saga started when the transaction of `connection` commits, and return the saga's id.

    `connection` is a DB-API connection (sqlite3, psycopg and others), or a connection or session of SQLAlchemy, on
    PostgreSQL or SQLite; `add` writes one row through it and commits nothing. `id=None` makes up an id. The other
    arguments are those of `Runtime.start`.

    Raises InvalidInput and InvalidId before anything is written; NotAllowed if the connection would commit the row by
    itself; TypeError for another kind of connection; the driver's errors, such as that of a missing table.
    """
    if is_async(connection):
        raise TypeError("this connection is async: write `await outbox.add_async(...)`")
    values = _values(saga, id, input, correlation_id, causation_id, trace, attributes)
    _check_transaction(connection)
    execute(connection, INSERT, values)
    return str(values["saga_id"])


async def add_async(
    connection: Any,
    saga: type[Saga[D, Any]],
    id: str | None,
    input: D,
    *,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    trace: dict[str, str] | None = None,
    attributes: dict[str, str] | None = None,
) -> str:
    """Do the same as `add` through an async connection, and return the saga's id.

    `connection` is an AsyncSession or AsyncConnection of SQLAlchemy, a `psycopg.AsyncConnection`, or a connection of
    aiosqlite. Cancelled, the row may or may not be part of the transaction: roll it back. Raises what `add` raises.
    """
    if not is_async(connection):
        raise TypeError("this connection is not async: write `outbox.add(...)`")
    values = _values(saga, id, input, correlation_id, causation_id, trace, attributes)
    connection = await connection_of(connection)
    _check_transaction(connection)
    await execute_async(connection, INSERT, values)
    return str(values["saga_id"])


def _check_transaction(connection: Any) -> None:
    """Raise NotAllowed if the row would be committed by itself, before the rest of the caller's transaction."""
    if commits_each_statement(connection):
        raise NotAllowed(
            "the connection commits each statement by itself (autocommit), so the row would not belong to your "
            "transaction: begin one first"
        )


def _values(
    saga: type[Saga[Any, Any]],
    id: str | None,
    input: object,
    correlation_id: str | None,
    causation_id: str | None,
    trace: dict[str, str] | None,
    attributes: dict[str, str] | None,
) -> dict[str, Any]:
    """Return the values of a new row. Raises InvalidInput and InvalidId."""
    if not (isinstance(saga, type) and issubclass(saga, Saga)):
        raise InvalidInput(f"{saga!r} is not a Saga class: the outbox takes the class, not an instance")
    definition = compiled(saga)
    saga_id = new_id() if id is None else check_id(id)  # made here: each sending of the row has the same
    str(SagaKey(definition.plan.saga_type, saga_id))  # raises InvalidId for an id that is too long
    context = checked_context(
        StartContext(correlation_id=correlation_id, causation_id=causation_id, trace=trace, attributes=attributes or {})
    )
    return {
        "id": new_id(),
        "saga_type": definition.plan.saga_type,
        "saga_id": saga_id,
        "input": definition.encode_input(input).decode(),
        "attributes": _json(context.attributes),
        "correlation_id": context.correlation_id,
        "causation_id": context.causation_id,
        "trace": _json(context.trace),
    }


def _json(texts: dict[str, str] | None) -> str | None:
    return msgspec.json.encode(texts).decode() if texts else None
