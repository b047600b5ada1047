"""The front: an order comes by HTTP, and is answered with the address of its status.

    NATS_URL=nats://127.0.0.1:4222 uvicorn examples.services.front:app

It runs no saga. An order that it has answered with 202 is durable: the front may be killed then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import sagakit.asyncio
from fastapi import FastAPI, HTTPException, Response
from sagakit import AlreadyStarted, Completed, UnknownSaga

from examples.services.domain import Order
from examples.services.saga import PlaceOrder

PATIENCE = 5.0
"""Seconds that a request waits: for the server when an order comes, and for the end of an order."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with sagakit.asyncio.open_client(os.environ["NATS_URL"]) as app.state.sagas:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def place(order: Order) -> dict[str, str]:
    try:
        async with asyncio.timeout(PATIENCE):
            await app.state.sagas.start(PlaceOrder, order.id, order)
    except TimeoutError:
        raise HTTPException(503, "send it again: the same order under the same id is placed once") from None
    except AlreadyStarted as error:
        raise HTTPException(409, str(error)) from None
    return {"status": f"/orders/{order.id}"}


@app.get("/orders/{id}")
async def status(id: str, response: Response) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PATIENCE):
            saga = await app.state.sagas.get(PlaceOrder, id)
            ended = await saga.outcome()
    except (TimeoutError, UnknownSaga):  # no worker has begun it yet, or there is no such order
        response.status_code = 202
        return {"status": "not ended"}
    if isinstance(ended, Completed):
        return {"status": "completed", "receipt": ended.output}
    return {"status": "undone", "code": ended.code or ended.cause, "undone": ended.compensated}
