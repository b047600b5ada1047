"""The databases of the outbox's tests: one SQLite file, or one schema of a PostgreSQL server."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from sagakit import outbox

ORDERS = "CREATE TABLE orders (id TEXT PRIMARY KEY)"


class Shop:
    """A database with a table of orders and an outbox."""

    def __init__(self, address: str) -> None:
        self.address = address
        """The path of a SQLite file, or the URL of a PostgreSQL schema."""
        with closing(self.connect()) as connection:
            connection.cursor().execute(ORDERS)
            outbox.create_table(connection)
            outbox.create_table(connection)  # again changes nothing
            connection.commit()

    @property
    def on_postgres(self) -> bool:
        return self.address.startswith("postgresql:")

    def connect(self) -> Any:
        return connect(self.address)

    def url(self, driver: str) -> str:
        """Return the URL for SQLAlchemy with a driver."""
        if self.on_postgres:
            return self.address.replace("postgresql:", f"postgresql+{driver}:", 1)
        return f"sqlite+{driver}:///{self.address}"

    def engine(self) -> sqlalchemy.Engine:
        """Return an engine that keeps no connections."""
        url = self.url("psycopg" if self.on_postgres else "pysqlite")
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return [tuple(row) for row in rows]

    def orders(self) -> Sequence[str]:
        return [id for (id,) in self.ask("SELECT id FROM orders ORDER BY id")]

    def rows(self) -> Sequence[str]:
        """Return the sagas that wait, in order."""
        return [id for (id,) in self.ask("SELECT saga_id FROM sagakit_outbox WHERE reason IS NULL ORDER BY seq")]

    def status(self) -> outbox.OutboxStatus:
        with closing(self.connect()) as connection:
            return outbox.status(connection)


def connect(address: str) -> Any:
    """Return a DB-API connection."""
    if address.startswith("postgresql:"):
        return psycopg.connect(address)
    return sqlite3.connect(address)


def new_sqlite(folder: Path) -> Shop:
    return Shop(str(folder / "shop.db"))


def new_postgres(server: str, name: str) -> Shop:
    """Return a schema in the server's one database: a database for each test would take a second each."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return Shop(f"{server}/postgres?options=-csearch_path%3D{name}")
