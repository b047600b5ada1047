"""Tests of `outbox.add`: the row belongs to the caller's transaction, by any connection; nothing wrong gets in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import aiosqlite
import msgspec
import psycopg
import psycopg.rows
import pytest
from sagakit import InvalidId, InvalidInput, NotAllowed, outbox
from sagakit.sql import in_style
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.outbox.databases import Shop
from tests.sagas import BookTrip, Trip
from tests.test_imports import HEAVY, loaded_by

ROME = Trip("Rome")


def place(connection: Any) -> None:
    outbox.add(connection, BookTrip, "order-7", ROME)


def by_dbapi(shop: Shop, act: Callable[[Any], None], *, commit: bool) -> None:
    with closing(shop.connect()) as connection:
        act(connection)
        connection.commit() if commit else connection.rollback()


def by_core(shop: Shop, act: Callable[[Any], None], *, commit: bool) -> None:
    with shop.engine().connect() as connection:
        act(connection)
        connection.commit() if commit else connection.rollback()


def by_session(shop: Shop, act: Callable[[Any], None], *, commit: bool) -> None:
    with Session(shop.engine()) as session:
        act(session)
        session.commit() if commit else session.rollback()


def by_scoped_session(shop: Shop, act: Callable[[Any], None], *, commit: bool) -> None:
    session = scoped_session(sessionmaker(shop.engine()))
    act(session)
    session.commit() if commit else session.rollback()
    session.remove()


@pytest.mark.parametrize("way", [by_dbapi, by_core, by_session, by_scoped_session])
def test_the_row_commits_and_rolls_back_with_the_transaction(shop: Shop, way: Callable[..., None]) -> None:
    way(shop, place, commit=False)
    assert shop.rows() == []
    way(shop, place, commit=True)
    assert shop.rows() == ["order-7"]


async def by_async_session(shop: Shop, act: Callable[[Any], Awaitable[object]], *, commit: bool) -> None:
    engine = create_async_engine(shop.url("psycopg" if shop.on_postgres else "aiosqlite"))
    async with async_sessionmaker(engine)() as session:
        await act(session)
        await (session.commit() if commit else session.rollback())
    await engine.dispose()


async def by_async_core(shop: Shop, act: Callable[[Any], Awaitable[object]], *, commit: bool) -> None:
    engine = create_async_engine(shop.url("psycopg" if shop.on_postgres else "aiosqlite"))
    async with engine.connect() as connection:
        await act(connection)
        await (connection.commit() if commit else connection.rollback())
    await engine.dispose()


async def by_async_driver(shop: Shop, act: Callable[[Any], Awaitable[object]], *, commit: bool) -> None:
    connection: Any
    if shop.on_postgres:
        connection = await psycopg.AsyncConnection.connect(shop.address)
    else:
        connection = await aiosqlite.connect(shop.address)
    await act(connection)
    await (connection.commit() if commit else connection.rollback())
    await connection.close()


@pytest.mark.parametrize("way", [by_async_session, by_async_core, by_async_driver])
def test_the_row_commits_and_rolls_back_with_an_async_transaction(
    shop: Shop, way: Callable[..., Awaitable[None]]
) -> None:
    async def main() -> None:
        async def place(connection: Any) -> object:
            with pytest.raises(TypeError, match="add_async"):
                outbox.add(connection, BookTrip, "order-7", ROME)
            return await outbox.add_async(connection, BookTrip, "order-7", ROME)

        await way(shop, place, commit=False)
        assert shop.rows() == []
        await way(shop, place, commit=True)

    asyncio.run(main())
    assert shop.rows() == ["order-7"]


def test_sqlalchemy_runs_the_blocking_functions_on_an_async_session(shop: Shop) -> None:
    async def main() -> None:
        async def act(session: AsyncSession | AsyncConnection) -> None:
            await session.run_sync(outbox.create_table)
            await session.run_sync(outbox.add, BookTrip, "order-7", ROME)
            assert (await session.run_sync(outbox.status)).waiting == 1

        await by_async_session(shop, act, commit=True)
        await by_async_core(shop, lambda connection: connection.run_sync(outbox.status), commit=True)

    asyncio.run(main())
    assert shop.rows() == ["order-7"]


def test_a_row_has_all_that_the_start_needs(shop: Shop) -> None:
    def act(connection: Any) -> None:
        id = outbox.add(
            connection,
            BookTrip,
            None,
            Trip('Zürich\x00"'),
            correlation_id="c",
            causation_id="d",
            trace={"traceparent": "00"},
            attributes={"region": "eu"},
        )
        assert len(id) == 32

    by_dbapi(shop, act, commit=True)
    fields = "saga_type, input, attributes, correlation_id, causation_id, trace, reason, length(id), length(saga_id)"
    (row,) = shop.ask(f"SELECT {fields} FROM sagakit_outbox")
    assert (row[0], *row[2:]) == ("BookTrip", '{"region":"eu"}', "c", "d", '{"traceparent":"00"}', None, 32, 32)
    assert msgspec.json.decode(row[1], type=Trip) == Trip('Zürich\x00"')
    assert 0 <= shop.status().oldest_age < 600


@pytest.mark.parametrize(
    ("saga", "id", "input", "options", "error"),
    [
        (BookTrip, "order-7", "Rome", {}, InvalidInput),
        (BookTrip, " ", ROME, {}, InvalidId),
        (BookTrip, "x" * 2_000, ROME, {}, InvalidId),
        (BookTrip, "order-7", ROME, {"attributes": {"region": 5}}, InvalidInput),
        (BookTrip, "order-7", ROME, {"correlation_id": "x" * 513}, InvalidInput),
        (BookTrip(), "order-7", ROME, {}, InvalidInput),
    ],
)
def test_a_wrong_start_is_refused_before_the_commit(
    shop: Shop, saga: Any, id: str, input: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    def act(connection: Any) -> None:
        with pytest.raises(error):
            outbox.add(connection, saga, id, input, **options)

    by_dbapi(shop, act, commit=True)
    assert shop.rows() == []


def test_a_connection_that_would_commit_the_row_by_itself_is_refused(shop: Shop) -> None:
    if shop.on_postgres:
        connection: Any = psycopg.connect(shop.address, autocommit=True)
    else:
        connection = sqlite3.connect(shop.address, isolation_level=None)
    with closing(connection):
        with pytest.raises(NotAllowed, match="autocommit"):
            place(connection)
        connection.execute("BEGIN")
        place(connection)
        connection.execute("COMMIT")
    assert shop.rows() == ["order-7"]


def test_sqlalchemys_autocommit_is_refused(shop: Shop) -> None:
    engine = shop.engine().execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO orders VALUES ('order-7')")
        with pytest.raises(NotAllowed, match="autocommit"):
            place(connection)
    with Session(engine) as session, pytest.raises(NotAllowed, match="autocommit"):
        place(session)
    assert shop.rows() == []


def test_other_objects_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"a builtins\.str is neither a DB-API connection"):
        place("shop.db")
    with (
        closing(sqlite3.connect(":memory:")) as db,
        pytest.raises(TypeError, match=r"a sqlite3\.Cursor is neither a DB-"),
    ):
        place(db.cursor())


def test_each_function_takes_its_own_kind_of_connection_and_names_the_other() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    with pytest.raises(TypeError, match=r"this connection is async: write `await outbox\.add_async\("):
        place(AsyncSession(engine))
    with (
        closing(sqlite3.connect(":memory:")) as db,
        pytest.raises(TypeError, match=r"is not async: write `outbox\.add\("),
    ):
        asyncio.run(outbox.add_async(db, BookTrip, "order-7", ROME))


def test_the_sql_for_another_database_is_refused() -> None:
    dialect: Any = "mysql"
    with pytest.raises(InvalidInput, match="dialect='mysql': the outbox knows 'postgresql' and 'sqlite'"):
        outbox.table_sql(dialect)


def test_the_rows_factory_of_the_connection_does_not_matter(shop: Shop) -> None:
    by_dbapi(shop, place, commit=True)
    with closing(shop.connect()) as connection:
        connection.row_factory = psycopg.rows.dict_row if shop.on_postgres else sqlite3.Row
        assert outbox.status(connection).waiting == 1


@pytest.mark.parametrize(
    ("style", "text", "values"),
    [
        ("qmark", "a = ? and b = ? and a = ?", (1, 2, 1)),
        ("numeric", "a = :1 and b = :2 and a = :3", (1, 2, 1)),
        ("numeric_dollar", "a = $1 and b = $2 and a = $3", (1, 2, 1)),
        ("named", "a = :a and b = :b and a = :a", {"a": 1, "b": 2}),
        ("format", "a = %s and b = %s and a = %s", (1, 2, 1)),
        ("pyformat", "a = %(a)s and b = %(b)s and a = %(a)s", {"a": 1, "b": 2}),
    ],
)
def test_every_paramstyle_is_written(style: str, text: str, values: object) -> None:
    assert in_style("a = :a and b = :b and a = :a", {"a": 1, "b": 2}, style) == (text, values)


def test_a_program_that_adds_loads_neither_trio_nor_nats_nor_sqlalchemy() -> None:
    program = "from sagakit import outbox\nimport sqlite3\noutbox.create_table(sqlite3.connect(':memory:'))"
    assert not loaded_by(program) & (HEAVY | {"sqlalchemy"})
