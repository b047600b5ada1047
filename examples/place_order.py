"""A service's file as a user writes it: the domain, the saga, and three ways to run it.

Reserve the goods, charge the card (asked about when in doubt), print a label for each line, dispatch (the pivot).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

import httpx
import msgspec
import sagakit
import sagakit.asyncio
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field
from sagakit import (
    AlreadyStarted,
    Completed,
    Context,
    Done,
    Failed,
    NotDone,
    NoWorker,
    Reject,
    RetryPolicy,
    Saga,
    UnknownSaga,
    step,
)

# ------------------------------------------------------------------ the domain: knows no saga
# A request's model is the saga's input as it is. What the service keeps for itself may be of any kind: here Structs.


class Line(BaseModel, frozen=True):
    sku: str
    quantity: int = Field(gt=0)


class Order(BaseModel, frozen=True):
    id: str
    lines: tuple[Line, ...]
    amount_cents: int
    card: str


class Reservation(msgspec.Struct, frozen=True):
    ref: str


class Charge(msgspec.Struct, frozen=True):
    ref: str


class Label(msgspec.Struct, frozen=True):
    tracking: str


class Receipt(msgspec.Struct, frozen=True):
    charge: str
    tracking: str


class Stock(Protocol):
    async def reserve(self, lines: Sequence[Line], *, key: str) -> Reservation: ...
    async def release(self, *, key: str) -> None: ...


class OutOfStock(Exception):
    """A domain error. The saga decides what it means: see `reject_on`."""


# ------------------------------------------------------------------ the saga

http_retry = RetryPolicy(
    max_attempts=6,
    initial_interval=timedelta(milliseconds=200),
    max_interval=timedelta(seconds=20),
    not_done_on=(httpx.ConnectError, httpx.PoolTimeout),  # never left this process: known not to have happened
)


class PlaceOrder(Saga[Order, Receipt], version=2, deadline=timedelta(days=2), backend="asyncio"):
    """Place an order. An instance holds the clients that all sagas of this type share, and no data of one order."""

    def __init__(self, *, http: httpx.AsyncClient, stock: Stock) -> None:
        self.http = http
        self.stock = stock

    @step(retry=RetryPolicy(reject_on=(OutOfStock,)))  # a domain error stays a domain error
    async def reserve(self, order: Order, ctx: Context) -> Reservation:
        return await self.stock.reserve(order.lines, key=ctx.key)

    @reserve.compensate
    async def release(self, order: Order, held: Reservation | None, ctx: Context) -> None:
        await self.stock.release(key=ctx.action_key)  # None = "perhaps": the action's key is what we undo by

    @step(reserve, on_unknown="check", timeout=timedelta(seconds=10), retry=http_retry)
    async def charge(self, order: Order, held: Reservation, ctx: Context) -> Charge:
        answer = await self.http.post(
            "/charges",
            json={"card": order.card, "amount": order.amount_cents, "hold": held.ref},
            headers={"Idempotency-Key": ctx.key},
        )
        if answer.status_code == 402:
            raise Reject("card_declined", bank_code=answer.json()["decline_code"])
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Charge)

    @charge.check  # asked when an attempt ended in doubt; so refund() always has a Charge
    async def charged(self, order: Order, ctx: Context) -> Done[Charge] | NotDone | None:
        answer = await self.http.get("/charges", params={"key": ctx.action_key})
        if answer.status_code == 404:
            return NotDone()
        return Done(msgspec.json.decode(answer.content, type=Charge)) if answer.is_success else None

    @charge.compensate(retry=sagakit.FOREVER)
    async def refund(self, order: Order, charge: Charge, ctx: Context) -> None:
        (await self.http.post(f"/charges/{charge.ref}/refund", headers={"Idempotency-Key": ctx.key})).raise_for_status()

    @step(charge, retry=http_retry)
    async def label(self, order: Order, charge: Charge, ctx: Context) -> Label:
        answer = await self.http.post("/labels", json={"order": order.id}, headers={"Idempotency-Key": ctx.key})
        return msgspec.json.decode(answer.raise_for_status().content, type=Label)

    @label.compensate
    async def void_label(self, order: Order, label: Label | None, ctx: Context) -> None:
        (await self.http.post("/labels/void", json={"key": ctx.action_key})).raise_for_status()

    @step(label, pivot=True, retry=sagakit.FOREVER)  # from here on there is no way back
    async def dispatch(self, order: Order, label: Label, ctx: Context) -> str:
        answer = await self.http.post("/pickups", json=[label.tracking], headers={"Idempotency-Key": ctx.key})
        answer.raise_for_status()
        return "booked"

    def output(self, input: Order, ctx: Context) -> Receipt:
        return Receipt(ctx.result(PlaceOrder.charge).ref, ctx.result(PlaceOrder.label).tracking)


# ------------------------------------------------------------------ 1. a trio program


async def trio_main(url: str, order: Order, http: httpx.AsyncClient, stock: Stock, **options: Any) -> str:
    async with sagakit.open_runtime(url, sagas=[PlaceOrder(http=http, stock=stock)], **options) as sagas:
        saga = await sagas.start(PlaceOrder, order.id, order)
        match await saga.outcome():
            case Completed(output=receipt):
                return f"paid {receipt.charge}"
            case Failed(cause="rejected", code=code, compensated=undone):
                return f"refused: {code}, undone: {', '.join(undone)}"
            case Failed(cause=cause):
                return f"failed: {cause}"


# ------------------------------------------------------------------ 2. a plain script, no server installed


def script(order: Order, http: httpx.AsyncClient, stock: Stock, *, url: str = "embedded:") -> str:
    return str(sagakit.run(PlaceOrder(http=http, stock=stock), order.id, order, url=url))


# ------------------------------------------------------------------ 3. FastAPI: the worker lives in the service

PATIENCE = 5.0  # seconds that a request waits: uvicorn stops only when all requests are answered


def service(url: str, http: httpx.AsyncClient, stock: Stock, **options: Any) -> FastAPI:
    sagas: sagakit.asyncio.AsyncioRuntime

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        nonlocal sagas
        # trio runs in a thread of its own; asyncio steps run HERE, on the service's loop, with the app's own pools
        saga = PlaceOrder(http=http, stock=stock)
        async with sagakit.asyncio.open_runtime(url, sagas=[saga], **options) as sagas:
            yield  # shutdown drains

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders", status_code=202)
    async def place(order: Order) -> dict[str, str]:
        try:
            async with asyncio.timeout(PATIENCE):
                saga = await sagas.start(PlaceOrder, order.id, order)
        except TimeoutError:  # the store is away, or the worker full; sent again, the same order is the same saga
            raise HTTPException(503, "send it again") from None
        except AlreadyStarted as error:
            raise HTTPException(409, str(error)) from None
        return {"status": f"/orders/{saga.id}"}

    @app.get("/orders/{id}")
    async def outcome(id: str, response: Response) -> dict[str, Any]:
        try:
            async with asyncio.timeout(PATIENCE):
                saga = await sagas.get(PlaceOrder, id)
                status = await saga.wait(or_stuck=True)  # ended, or stuck: that waits for a person, and no request may
        except UnknownSaga:
            raise HTTPException(404) from None
        except NoWorker as error:  # a new version was deployed without a migrate() for this one
            raise HTTPException(503, str(error)) from None
        except TimeoutError:
            response.status_code = 202
            return {"status": "running"}
        if status == "stuck":
            response.status_code = 202
            return {"status": "stuck"}
        match await saga.outcome():
            case Completed(output=receipt):
                return msgspec.structs.asdict(receipt)
            case Failed(code=code):
                raise HTTPException(409, code)

    return app
