"""The service `payments`: it charges cards. `python -m examples.services.payments` serves it."""

from __future__ import annotations

from sagakit.participant import CommandContext, Reject, Service

from examples.services.database import serve
from examples.services.domain import Booked, Charge

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, order_id TEXT NOT NULL, card TEXT NOT NULL,
    amount_cents INTEGER NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
"""
payments = Service("payments")


@payments.endpoint("charge")
async def charge(wanted: Charge, ctx: CommandContext) -> Booked:
    if wanted.card.startswith("empty"):
        raise Reject("card_refused", card=wanted.card)
    book = "INSERT INTO charges (key, order_id, card, amount_cents) VALUES (?, ?, ?, ?)"
    booked = ctx.transaction.execute(book, (ctx.key, wanted.order, wanted.card, wanted.amount_cents))
    return Booked(booked.lastrowid)


@charge.undo("refund")
async def refund(wanted: Charge, booked: Booked, ctx: CommandContext) -> None:
    ctx.transaction.execute("UPDATE charges SET undone = undone + 1 WHERE number = ?", (booked.number,))


if __name__ == "__main__":
    serve(payments, SCHEMA)
