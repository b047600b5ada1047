"""A FastAPI service over SQLite: one transaction writes an order and has its saga started."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import sagakit.asyncio
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sagakit import Completed, Context, Saga, UnknownSaga, outbox, step


class Order(BaseModel, frozen=True):
    id: str
    amount_cents: int


class PlaceOrder(Saga[Order, str]):
    @step(pivot=True)
    async def charge(self, order: Order, ctx: Context) -> str:
        return f"charged {order.amount_cents}"

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(PlaceOrder.charge)


def service(url: str, database: Path, **options: Any) -> FastAPI:
    """Return the service. `url` leads to NATS, `database` to the file of SQLite."""
    connect = partial(sqlite3.connect, database)
    relay = outbox.Relay(connect, sagas=[PlaceOrder])
    sagas: sagakit.asyncio.AsyncioRuntime

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        nonlocal sagas
        with closing(connect()) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, amount_cents INTEGER)")
            outbox.create_table(connection)
        async with (
            sagakit.asyncio.open_runtime(url, sagas=[PlaceOrder()], **options) as sagas,
            asyncio.TaskGroup() as group,
        ):
            relaying = group.create_task(relay.run(sagas))
            yield
            relaying.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=202)
    def place(order: Order) -> dict[str, str]:  # a plain function: FastAPI calls it in a thread
        try:
            with closing(connect()) as connection, connection:  # the inner one commits, or rolls back
                connection.execute("INSERT INTO orders VALUES (?, ?)", (order.id, order.amount_cents))
                outbox.add(connection, PlaceOrder, order.id, order)
        except sqlite3.IntegrityError:
            raise HTTPException(409, "there is such an order") from None
        relay.nudge()  # else the relay finds the row within a second
        return {"status": f"/orders/{order.id}"}

    @app.get("/orders/{id}")
    async def outcome(id: str) -> dict[str, str]:
        try:
            saga = await sagas.get(PlaceOrder, id)
        except UnknownSaga:  # not yet, or there is no such order
            return {"status": "not started"}
        try:
            async with asyncio.timeout(5):
                ended = await saga.outcome()
        except TimeoutError:
            return {"status": "running"}
        return {"status": ended.output if isinstance(ended, Completed) else ended.cause}

    return app
