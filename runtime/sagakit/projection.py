"""Projections: read models over the events of sagas, in the user's own SQL database.

    orders = Projection("orders", handle)

    async with sagakit.asyncio.open_client("nats://localhost") as client:
        async with client.watch(PlaceOrder, after=orders.position(connection)) as events:
            async for event in events:
                orders.apply(connection, event)

What `handle` writes, the mark of the event and the position of the projection are one transaction: each event counts
once and in order, whenever the process dies (docs/projection.md).
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from sagakit.client.watching import START, SagaEvent
from sagakit.errors import CallerError, InvalidInput, NotAllowed
from sagakit.sql import commits_each_statement, dialect_of, execute, is_async

_TABLES = (
    "CREATE TABLE IF NOT EXISTS sagakit_projections (name TEXT PRIMARY KEY, position TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sagakit_projection_marks (name TEXT NOT NULL, run TEXT NOT NULL, "
    "sequence BIGINT NOT NULL, reacted BIGINT NOT NULL, PRIMARY KEY (name, run))",
)
_READ = "SELECT position FROM sagakit_projections WHERE name = :name"
_MOVE = (
    "INSERT INTO sagakit_projections (name, position) VALUES (:name, :position) "
    "ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)
_MARK = "SELECT sequence, reacted FROM sagakit_projection_marks WHERE name = :name AND run = :run"
_FIRST = (
    "INSERT INTO sagakit_projection_marks (name, run, sequence, reacted) VALUES (:name, :run, 0, 0) "
    "ON CONFLICT (name, run) DO NOTHING"
)
_NEXT = (
    "UPDATE sagakit_projection_marks SET sequence = :sequence, reacted = :reacted "
    "WHERE name = :name AND run = :run AND sequence = :before"
)
_BEGIN_ANEW = "UPDATE sagakit_projection_marks SET sequence = 0 WHERE name = :name"


class ProjectionGap(CallerError):
    """Events of a run are missing: the log does not have them any more, or the watch has begun too late.

    `expected` is the number of the event that should have come. Begin with `after=position(...)`, or pass `on_gap=`.
    """

    def __init__(self, projection: str, event: SagaEvent, expected: int) -> None:
        super().__init__(
            f"projection {projection}: event {event.event.sequence} of {event.saga_type} {event.saga_id} came where "
            f"{expected} was due (run {event.event.run}): the log has lost what is between, or does not reach back so "
            "far; begin with after=position(...), or pass on_gap= to decide"
        )
        self.event: SagaEvent = event
        self.expected: int = expected


class Projection:
    """A read model, by a name that is unique in its database. PostgreSQL or SQLite; DB-API or SQLAlchemy, blocking.

    `handle(event, connection)` writes to the read model through `connection`, and does nothing else. `react(event)` is
    for effects outside of the database, such as a mail: it is called before the commit, so it happens at least once
    for each event; give `event.event.id` as the key. A rebuild does not call it again. `on_gap(event, expected)` is
    called where events are missing; without it ProjectionGap is raised.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[SagaEvent, Any], None],
        *,
        react: Callable[[SagaEvent], None] | None = None,
        on_gap: Callable[[SagaEvent, int], None] | None = None,
    ) -> None:
        if not name:
            raise InvalidInput(f"Projection(name={name!r}): give a name, under which the position is kept")
        for what, fn in {"handle": handle, "react": react, "on_gap": on_gap}.items():
            _check_function(f"projection {name}: {what}", fn)
        self.name: str = name
        """The name of the projection."""
        self._handle = handle
        self._react = react
        self._on_gap = on_gap

    def create_tables(self, connection: Any) -> None:
        """Create the two tables of all projections if they do not exist. The caller commits. Raises TypeError."""
        _check(connection)
        for sql in _TABLES:
            execute(connection, sql)

    def position(self, connection: Any) -> str:
        """Return where to go on, for `after=` of `Client.watch`; the start of the log for a new projection."""
        rows = execute(connection, _READ, {"name": self.name}).rows
        return str(rows[0][0]) if rows else START

    def apply(self, connection: Any, event: SagaEvent) -> bool:
        """Handle an event and commit, or roll back and raise. Return False for an event that was handled before.

        Blocks for the length of the transaction: call it in a thread if the database is far. Several processes may
        apply the same events. Raises ProjectionGap; NotAllowed in autocommit mode; and what `handle`, `react` and the
        database raise.
        """
        _check_transaction(connection)
        try:
            is_new = self._mark(connection, event)
            if is_new:
                self._handle(event, connection)
            execute(connection, _MOVE, {"name": self.name, "position": event.position})
        except BaseException:  # of a cancelled caller, too: the next commit must not take half of it along
            connection.rollback()
            raise
        connection.commit()
        return is_new

    def rebuild(self, connection: Any, reset: Callable[[Any], None]) -> None:
        """Empty the read model by `reset(connection)` and go back to the start of the log, in one transaction.

        Stop the processes that apply events before, and watch from `position` afterwards. `react` is called only for
        events for which it was not called before. Raises what `reset` raises; then nothing has changed.
        """
        _check_transaction(connection)
        try:
            reset(connection)
            execute(connection, _BEGIN_ANEW, {"name": self.name})
            execute(connection, _MOVE, {"name": self.name, "position": START})
        except BaseException:  # of a cancelled caller, too: the next commit must not take half of it along
            connection.rollback()
            raise
        connection.commit()

    def _mark(self, connection: Any, event: SagaEvent) -> bool:
        """Note that an event is handled. Return False if it was, or if another process has just handled it."""
        of = {"name": self.name, "run": event.event.run}
        sequence = event.event.sequence
        execute(connection, _FIRST, of)
        [(before, reacted)] = execute(connection, _MARK, of).rows
        if sequence <= before:
            return False
        if sequence > before + 1:
            self._gap(event, before + 1)
        # another process that handles the same event has the row, and this waits for its end: then `before` is wrong
        values = {**of, "sequence": sequence, "before": before, "reacted": max(sequence, reacted)}
        if not execute(connection, _NEXT, values).changed:
            return False
        if self._react is not None and sequence > reacted:
            self._react(event)
        return True

    def _gap(self, event: SagaEvent, expected: int) -> None:
        if self._on_gap is None:
            raise ProjectionGap(self.name, event, expected)
        self._on_gap(event, expected)


def _check(connection: Any) -> None:
    """Raise TypeError for a connection that does not block, or that leads to another database."""
    dialect_of(connection)
    if is_async(connection):
        raise TypeError("a projection takes a blocking connection: its transaction is a few statements long")


def _check_transaction(connection: Any) -> None:
    """Raise NotAllowed in autocommit mode, in which an event would count as handled though its handler has raised."""
    if commits_each_statement(connection):
        raise NotAllowed(
            "the connection commits each statement by itself (autocommit), so an event whose handler fails would count "
            "as handled: open the connection without autocommit"
        )


def _check_function(what: str, fn: object) -> None:
    """Raise InvalidInput for a coroutine function, which would never run, and for what cannot be called."""
    if fn is not None and not callable(fn):
        raise InvalidInput(f"{what}={fn!r}: write a function")
    if iscoroutinefunction(fn) or iscoroutinefunction(type(fn).__call__):
        raise InvalidInput(
            f"{what} is a coroutine function, and nobody awaits it, so it would not run: make it a plain function"
        )
