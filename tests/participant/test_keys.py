"""The contract of `Keys`, on keys in memory, in tables and in a bucket.

In a table the work and its key are kept together, or neither is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.participant import Keys, MemoryKeys, SqlKeys, keys_table_sql
from sagakit.participant.key_store import GONE, Busy, KeptReply
from sagakit.sql import execute, execute_async, is_async
from sqlalchemy.ext.asyncio import create_async_engine

from tests.participant.key_bucket import KeysOfManyProcesses
from tests.servers import Server

DONE = KeptReply(answer="done", payload=msgspec.Raw(b'"r1"'))
REFUSED = KeptReply(answer="rejected", code="card_declined", payload=msgspec.Raw(b'{"limit":20}'))
INSERT = "INSERT INTO charges (id) VALUES (:id)"
TABLES = "CREATE TABLE charges (id TEXT PRIMARY KEY);"


class Bank:
    """Keys, and the table of charges beside them."""

    def __init__(self, keys: Keys, charges: Callable[[], list[str]]) -> None:
        self.keys = keys
        self.charges = charges

    def work(self, id: str, reply: KeptReply | Exception = DONE) -> Callable[[Any], Awaitable[KeptReply]]:
        """Return work that writes a charge, and then answers or raises."""

        async def work(transaction: Any) -> KeptReply:
            await self.write(transaction, id)
            if isinstance(reply, Exception):
                raise reply
            return reply

        return work

    async def write(self, transaction: Any, id: str) -> None:
        if transaction is None:
            self.charges().append(id)
        elif is_async(transaction):
            await execute_async(transaction, INSERT, {"id": id})
        else:
            execute(transaction, INSERT, {"id": id})


def in_memory(server: str, folder: Path, name: str) -> Bank:
    charges: list[str] = []
    return Bank(MemoryKeys(), lambda: charges)


def of_sqlite(folder: Path) -> tuple[str, Callable[[], list[str]]]:
    path = str(folder / "bank.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES + keys_table_sql("sqlite") * 2)

    def charges() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return [id for (id,) in connection.execute("SELECT id FROM charges ORDER BY id")]

    return path, charges


def of_postgres(server: str, name: str) -> tuple[str, Callable[[], list[str]]]:
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    url = f"{server}/postgres?options=-csearch_path%3D{name}"
    with psycopg.connect(url) as connection:
        connection.execute((TABLES + keys_table_sql("postgresql") * 2).encode())

    def charges() -> list[str]:
        with psycopg.connect(url) as connection:
            return [id for (id,) in connection.execute("SELECT id FROM charges ORDER BY id")]

    return url, charges


def of_sqlalchemy(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:", 1)


def sqlite_driver(server: str, folder: Path, name: str) -> Bank:
    path, charges = of_sqlite(folder)

    @contextmanager
    def begin() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, timeout=0.05)) as connection, connection:
            yield connection

    return Bank(SqlKeys(begin), charges)


def sqlite_async(server: str, folder: Path, name: str) -> Bank:
    path, charges = of_sqlite(folder)
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", poolclass=sqlalchemy.NullPool, connect_args={"timeout": 0.05}
    )
    return Bank(SqlKeys(engine.begin), charges)


def postgres_blocking(server: str, folder: Path, name: str) -> Bank:
    url, charges = of_postgres(server, name)
    engine = sqlalchemy.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:", 1), poolclass=sqlalchemy.NullPool
    )
    return Bank(SqlKeys(engine.begin), charges)


def postgres_async(server: str, folder: Path, name: str) -> Bank:
    url, charges = of_postgres(server, name)
    engine = create_async_engine(of_sqlalchemy(url), poolclass=sqlalchemy.NullPool)
    return Bank(SqlKeys(engine.begin), charges)


def postgres_driver(server: str, folder: Path, name: str) -> Bank:
    url, charges = of_postgres(server, name)

    @contextmanager
    def begin() -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(url) as connection:
            yield connection

    return Bank(SqlKeys(begin), charges)


def kv_bucket(server: str, folder: Path, name: str) -> Bank:
    charges: list[str] = []
    return Bank(KeysOfManyProcesses(server, f"{name}_keys"), lambda: charges)


BANKS = [in_memory, sqlite_driver, sqlite_async, postgres_driver, postgres_blocking, postgres_async, kv_bucket]


@pytest.fixture(params=BANKS, ids=lambda make: make.__name__)
def bank(request: pytest.FixtureRequest, postgres_server: str, server: Server, tmp_path: Path, namespace: str) -> Bank:
    made: Bank = request.param(server.url if request.param is kv_bucket else postgres_server, tmp_path, namespace)
    return made


def test_work_is_done_once_and_its_reply_is_kept(bank: Bank) -> None:
    async def program() -> None:
        assert await bank.keys.look("k/do/1") is None
        assert [await bank.keys.do("k/do/1", bank.work(id)) for id in ("a", "b")] == [DONE, DONE]
        assert await bank.keys.look("k/do/1") == DONE
        assert await bank.keys.do("k/do/2", bank.work("c")) == DONE

    asyncio.run(program())
    assert bank.charges() == ["a", "c"]


def test_work_that_fails_leaves_nothing(bank: Bank) -> None:
    async def program() -> None:
        with pytest.raises(RuntimeError, match="boom"):
            await bank.keys.do("k/do/1", bank.work("a", RuntimeError("boom")))
        assert await bank.keys.look("k/do/1") is None
        if isinstance(bank.keys, SqlKeys):
            assert bank.charges() == []
        assert await bank.keys.do("k/do/1", bank.work("b")) == DONE

    asyncio.run(program())
    assert "b" in bank.charges()


def test_a_refusal_is_kept_without_what_was_written_before_it(bank: Bank) -> None:
    async def program() -> None:
        assert await bank.keys.do("k/do/1", bank.work("a", REFUSED)) == REFUSED
        assert await bank.keys.do("k/do/1", bank.work("b")) == REFUSED

    asyncio.run(program())
    assert "b" not in bank.charges()
    if isinstance(bank.keys, SqlKeys):
        assert bank.charges() == []


def test_a_burnt_key_is_never_worked(bank: Bank) -> None:
    undone: list[KeptReply | None] = []

    async def undo(transaction: Any, kept: KeptReply | None) -> None:
        undone.append(kept)

    async def program() -> None:
        for _ in range(2):
            await bank.keys.burn("k/do/1", undo)
        await bank.keys.do("k/do/2", bank.work("a"))
        await bank.keys.burn("k/do/2", undo)
        for key in ("k/do/1", "k/do/2"):
            assert await bank.keys.do(key, bank.work("b")) == GONE
            assert await bank.keys.look(key) == GONE

    asyncio.run(program())
    assert undone == [None, DONE]
    assert bank.charges() == ["a"]


def test_an_undo_that_fails_leaves_the_key_as_it_was(bank: Bank) -> None:
    async def undo(transaction: Any, kept: KeptReply | None) -> None:
        if transaction is not None:
            await bank.write(transaction, "half an undo")
        raise RuntimeError("not today")

    async def program() -> None:
        await bank.keys.do("k/do/1", bank.work("a"))
        with pytest.raises(RuntimeError, match="not today"):
            await bank.keys.burn("k/do/1", undo)
        assert await bank.keys.look("k/do/1") == DONE

    asyncio.run(program())
    assert bank.charges() == ["a"]


def test_a_key_that_is_worked_on_is_busy(bank: Bank) -> None:
    async def undo(transaction: Any, kept: KeptReply | None) -> None:
        raise AssertionError("it is worked on")

    async def work(transaction: Any) -> KeptReply:
        for attempt in (
            bank.keys.do("k/do/1", bank.work("b")), bank.keys.burn("k/do/1", undo), bank.keys.look("k/do/1")
        ):  # fmt: skip
            with pytest.raises(Busy):
                await attempt
        await bank.write(transaction, "a")
        return DONE

    async def program() -> None:
        assert await bank.keys.do("k/do/1", work) == DONE
        assert await bank.keys.look("k/do/1") == DONE

    asyncio.run(program())
    assert bank.charges() == ["a"]


def test_other_keys_of_a_large_database_are_free_meanwhile(
    postgres_server: str, tmp_path: Path, namespace: str
) -> None:
    bank = postgres_async(postgres_server, tmp_path, namespace)

    async def work(transaction: Any) -> KeptReply:
        assert await bank.keys.do("k/do/2", bank.work("b")) == DONE
        await bank.write(transaction, "a")
        return DONE

    assert asyncio.run(bank.keys.do("k/do/1", work)) == DONE
    assert bank.charges() == ["a", "b"]


@pytest.mark.parametrize("make", [sqlite_driver, postgres_async])
def test_keys_older_than_the_horizon_are_deleted(
    make: Callable[[str, Path, str], Bank], postgres_server: str, tmp_path: Path, namespace: str
) -> None:
    bank = make(postgres_server, tmp_path, namespace)
    assert isinstance(bank.keys, SqlKeys)
    begin = bank.keys._begin

    async def program() -> int:
        await bank.keys.do("k/do/1", bank.work("a"))
        assert await SqlKeys(begin, horizon=3600).prune() == 0
        return await SqlKeys(begin, horizon=1e-9).prune()

    assert asyncio.run(program()) == 1
    assert asyncio.run(bank.keys.look("k/do/1")) is None


def test_what_is_no_store_of_keys_is_refused(tmp_path: Path) -> None:
    path, _ = of_sqlite(tmp_path)

    @contextmanager
    def begin() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield connection

    with pytest.raises(NotAllowed, match="autocommit"):
        asyncio.run(SqlKeys(begin).look("k/do/1"))
    with pytest.raises(NotAllowed, match="horizon"):
        asyncio.run(SqlKeys(begin).prune())
    with pytest.raises(InvalidInput, match="horizon=0"):
        SqlKeys(begin, horizon=0)
    with pytest.raises(InvalidInput, match="'oracle'"):
        keys_table_sql("oracle")  # type: ignore[arg-type]
