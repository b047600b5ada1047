import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sagakit.participant import CommandContext, Reject, Service, SqlKeys, keys_table_sql, open_asyncio_participant

flights = Service("flights")


@flights.endpoint("book")
async def book(city: str, ctx: CommandContext) -> str:
    if city == "Oslo":
        raise Reject("sold_out")
    ctx.transaction.execute("INSERT INTO seats (city) VALUES (?)", (city,))
    return f"a seat to {city}"


@book.undo("cancel")
async def cancel(city: str, seat: str, ctx: CommandContext) -> None:
    ctx.transaction.execute("DELETE FROM seats WHERE city = ?", (city,))


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("flights.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with db:
            yield db


async def serve(url: str) -> None:
    with closing(sqlite3.connect("flights.db")) as db:
        db.executescript("CREATE TABLE IF NOT EXISTS seats (city TEXT);" + keys_table_sql("sqlite"))
    async with open_asyncio_participant(url, flights, keys=SqlKeys(transaction)):
        print("flights can be booked", flush=True)
        await asyncio.Event().wait()


def main(url: str = "nats://127.0.0.1:4222") -> None:
    asyncio.run(serve(url))


if __name__ == "__main__":
    main()
