"""SQL on connections of any DB-API driver, and on the connections and sessions of SQLAlchemy.

SQLAlchemy and the drivers are recognized by their objects' methods, and are never imported here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, Literal, NamedTuple, TypeAlias

Dialect: TypeAlias = Literal["postgresql", "sqlite"]
"""The kinds of databases that sagakit knows."""

_PLACES: Mapping[str, Callable[[str, int], str]] = {
    "qmark": lambda name, number: "?",
    "numeric": lambda name, number: f":{number}",
    "numeric_dollar": lambda name, number: f"${number}",
    "named": lambda name, number: f":{name}",
    "format": lambda name, number: "%s",
    "pyformat": lambda name, number: f"%({name})s",
}
"""The placeholder of each paramstyle, for a value's name and its place. The fourth is SQLAlchemy's for asyncpg."""

_DRIVERS: Mapping[str, Dialect] = {
    "sqlite3": "sqlite",
    "aiosqlite": "sqlite",
    "psycopg": "postgresql",
    "psycopg2": "postgresql",
    "pg8000": "postgresql",
}
_LEGACY = -1
"""sqlite3.LEGACY_TRANSACTION_CONTROL, which Python 3.11 does not have."""
_IDLE = 0
"""The status of a PostgreSQL connection that is not in a transaction, in psycopg and psycopg2."""


NOW: Mapping[Dialect, str] = {
    "postgresql": "extract(epoch FROM clock_timestamp())",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
"""Seconds since 1970 by the database's clock: the clocks of the programs that write rows may differ."""


class SqlAnswer(NamedTuple):
    """The rows that a statement returned, as tuples, and the number of rows that it changed."""

    rows: Sequence[tuple[Any, ...]]
    changed: int


def execute(connection: Any, sql: str, values: Mapping[str, Any] | None = None) -> SqlAnswer:
    """Run one statement with `:name` placeholders on a blocking connection or session, and return its answer."""
    connection = _of_session(connection)
    text, arguments = in_style(sql, values or {}, _paramstyle(connection))
    if _of_sqlalchemy(connection):
        result = connection.exec_driver_sql(text, arguments)
        return SqlAnswer([tuple(row) for row in result] if result.returns_rows else (), result.rowcount)
    if not hasattr(connection, "cursor"):  # such as a cursor itself
        raise TypeError(_not_a_connection(connection))
    cursor = connection.cursor()
    try:
        cursor.execute(text, arguments)
        rows = cursor.fetchall() if cursor.description else ()
        return SqlAnswer(
            [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in rows], cursor.rowcount
        )
    finally:
        cursor.close()


async def execute_async(connection: Any, sql: str, values: Mapping[str, Any] | None = None) -> SqlAnswer:
    """Run one statement with `:name` placeholders on an async connection, and return its answer."""
    text, arguments = in_style(sql, values or {}, _paramstyle(connection))
    if _of_sqlalchemy(connection):
        result = await connection.exec_driver_sql(text, arguments)
        return SqlAnswer([tuple(row) for row in result] if result.returns_rows else (), result.rowcount)
    cursor = await connection.execute(text, arguments)
    rows = await cursor.fetchall() if cursor.description else ()
    return SqlAnswer([tuple(row) for row in rows], cursor.rowcount)


async def connection_of(connection: Any) -> Any:
    """Return the connection of an async SQLAlchemy session, which begins by that; an async connection as it is."""
    return await connection.connection() if _is_session(connection) else connection


def in_style(sql: str, values: Mapping[str, Any], paramstyle: str) -> tuple[str, Any]:
    """Return a statement with `:name` placeholders, and its values, in a paramstyle of DB-API."""
    order: list[str] = []

    def place(found: re.Match[str]) -> str:
        order.append(found[1])
        return _PLACES[paramstyle](found[1], len(order))

    text = re.sub(r":(\w+)", place, sql)
    return text, dict(values) if paramstyle in ("named", "pyformat") else tuple(values[name] for name in order)


def dialect_of(connection: Any) -> Dialect:
    """Return the kind of database that a connection or session leads to. Raises TypeError for an unknown one."""
    connection = _of_session(connection)
    if _of_sqlalchemy(connection):
        name = connection.dialect.name
    else:
        name = next((_DRIVERS[driver] for driver in _packages_of(connection) if driver in _DRIVERS), None)
    if name not in ("postgresql", "sqlite"):
        raise TypeError(f"sagakit knows PostgreSQL and SQLite, and {_described(connection)} leads to neither")
    return "postgresql" if name == "postgresql" else "sqlite"


def is_async(connection: Any) -> bool:
    """Return True if the methods of a connection or session are coroutine functions."""
    return iscoroutinefunction(getattr(type(connection), "commit", None))


def commits_each_statement(connection: Any) -> bool:
    """Return True if the next statement would be a transaction by itself (autocommit)."""
    driver = _driver_connection(_of_session(connection))
    autocommit = getattr(driver, "autocommit", _LEGACY)
    if hasattr(driver, "isolation_level") and hasattr(driver, "in_transaction"):  # sqlite3, aiosqlite
        alone = autocommit is True or (autocommit == _LEGACY and driver.isolation_level is None)
        return alone and not driver.in_transaction
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    return autocommit is True and status == _IDLE


def _driver_connection(connection: Any) -> Any:
    """Return the driver's own connection. None if SQLAlchemy has not begun yet: it will, with the next statement."""
    if not _of_sqlalchemy(connection):
        return connection
    inner = getattr(connection, "sync_connection", connection)
    return inner.connection.driver_connection if inner.in_transaction() else None


def _of_session(connection: Any) -> Any:
    """Return the connection of a blocking SQLAlchemy session, which begins by that; another object as it is."""
    return connection.connection() if _is_session(connection) and not is_async(connection) else connection


def _is_session(connection: Any) -> bool:
    return hasattr(connection, "get_bind") and hasattr(connection, "connection")


def _of_sqlalchemy(connection: Any) -> bool:
    return hasattr(connection, "exec_driver_sql")


def _packages_of(connection: Any) -> list[str]:
    """Return the modules that define a connection's class and its bases, and the packages that these are in."""
    names: list[str] = []
    for base in connection.__class__.__mro__:
        parts = str(base.__module__).split(".")
        names += [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return names


def _paramstyle(connection: Any) -> str:
    """Return the paramstyle of a connection: the driver's module has it, or SQLAlchemy's dialect."""
    if _of_sqlalchemy(connection):
        return str(connection.dialect.paramstyle)
    for name in _packages_of(connection):
        style = getattr(sys.modules.get(name), "paramstyle", None)
        if style in _PLACES:
            return str(style)
    raise TypeError(_not_a_connection(connection))


def _not_a_connection(given: Any) -> str:
    return (
        f"{_described(given)} is neither a DB-API connection, such as sqlite3's or psycopg's, nor a connection or "
        "session of SQLAlchemy"
    )


def _described(connection: Any) -> str:
    return f"a {type(connection).__module__}.{type(connection).__qualname__}"
