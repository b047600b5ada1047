"""The service `stock`: it sets goods aside, as long as there are any. `python -m examples.services.stock` serves it."""

from __future__ import annotations

from sagakit.participant import CommandContext, Reject, Service

from examples.services.database import serve
from examples.services.domain import Booked, Reserve

SCHEMA = """
CREATE TABLE IF NOT EXISTS goods (sku TEXT PRIMARY KEY, delivered INTEGER NOT NULL, free INTEGER NOT NULL);
INSERT OR IGNORE INTO goods VALUES ('lamp', 100000, 100000), ('vase', 100000, 100000), ('globe', 10, 10);
CREATE TABLE IF NOT EXISTS reservations (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, order_id TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
"""
stock = Service("stock")


@stock.endpoint("reserve")
async def reserve(wanted: Reserve, ctx: CommandContext) -> Booked:
    take = "UPDATE goods SET free = free - :quantity WHERE sku = :sku AND free >= :quantity"
    if ctx.transaction.execute(take, {"quantity": wanted.quantity, "sku": wanted.sku}).rowcount == 0:
        raise Reject("out_of_stock", sku=wanted.sku)
    book = "INSERT INTO reservations (key, order_id, sku, quantity) VALUES (?, ?, ?, ?)"
    booked = ctx.transaction.execute(book, (ctx.key, wanted.order, wanted.sku, wanted.quantity))
    return Booked(booked.lastrowid)


@reserve.undo("release")
async def release(wanted: Reserve, booked: Booked, ctx: CommandContext) -> None:
    ctx.transaction.execute("UPDATE reservations SET undone = undone + 1 WHERE number = ?", (booked.number,))
    ctx.transaction.execute("UPDATE goods SET free = free + ? WHERE sku = ?", (wanted.quantity, wanted.sku))


if __name__ == "__main__":
    serve(stock, SCHEMA)
