"""The three services. Each owns a real SQLite file and knows nothing of sagas."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from examples.orders.domain import Charge, Order, Refused, Reservation, Shipment
from examples.orders.participant import Participant
from examples.orders.weather import FAIR, Weather

SERVED = frozenset({"DE", "FR", "NL", "PL", "IT", "ES"})
"""Countries that the carrier serves."""
STOCKED = 0.88
"""Share of the demand that is in stock at the start."""


class Stock(Participant):
    """The warehouse: goods that are free, set aside and handed over, by article."""

    schema = """
    CREATE TABLE IF NOT EXISTS stock (
        sku TEXT PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0),
        reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0), shipped INTEGER NOT NULL DEFAULT 0,
        initial INTEGER NOT NULL);
    """

    def fill(self, orders: Iterable[Order]) -> None:
        """Stock up once, with a little less than these orders need."""
        demand: dict[str, int] = {}
        for order in orders:
            demand[order.sku] = demand.get(order.sku, 0) + order.quantity
        with self.transaction() as db:
            for sku, quantity in demand.items():
                free = round(quantity * STOCKED)
                db.execute("INSERT OR IGNORE INTO stock (sku, free, initial) VALUES (?, ?, ?)", (sku, free, free))

    def reserve(self, order: Order, *, key: str) -> Reservation:
        """Set goods aside. Raises Refused (`out_of_stock`)."""

        def do(db: sqlite3.Connection) -> Reservation:
            move = "UPDATE stock SET free = free - ?1, reserved = reserved + ?1 WHERE sku = ?2 AND free >= ?1"
            if db.execute(move, (order.quantity, order.sku)).rowcount == 0:
                raise Refused("out_of_stock")
            return Reservation(order.sku, order.quantity)

        return self.act(key, "reserve", Reservation, do)

    def release(self, *, key: str, action_key: str) -> None:
        """Put back the goods that were set aside under `action_key`."""

        def undo(db: sqlite3.Connection, held: Reservation) -> None:
            move = "UPDATE stock SET free = free + ?1, reserved = reserved - ?1 WHERE sku = ?2"
            db.execute(move, (held.quantity, held.sku))

        self.undo(key, action_key, "release", Reservation, undo)

    def hand_over(self, held: Reservation, *, key: str) -> Reservation:
        """Give the goods that were set aside to the carrier."""

        def do(db: sqlite3.Connection) -> Reservation:
            move = "UPDATE stock SET reserved = reserved - ?1, shipped = shipped + ?1 WHERE sku = ?2"
            db.execute(move, (held.quantity, held.sku))
            return held

        return self.act(key, "hand_over", Reservation, do)


class Payments(Participant):
    """The payment provider: one account a card, and the merchant's."""

    schema = """
    CREATE TABLE IF NOT EXISTS accounts (
        card TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), initial INTEGER NOT NULL);
    INSERT OR IGNORE INTO accounts VALUES ('merchant', 0, 0);
    """

    def open_accounts(self, orders: Iterable[Order]) -> None:
        """Give each card, once, what these orders cost; cards named `empty...` get nothing."""
        owed: dict[str, int] = {}
        for order in orders:
            owed[order.card] = owed.get(order.card, 0) + order.amount_cents
        with self.transaction() as db:
            for card, amount in owed.items():
                balance = 0 if card.startswith("empty") else amount
                db.execute("INSERT OR IGNORE INTO accounts VALUES (?, ?, ?)", (card, balance, balance))

    def charge(self, order: Order, *, key: str) -> Charge:
        """Take the money. Raises Refused (`card_declined`)."""

        def do(db: sqlite3.Connection) -> Charge:
            take = "UPDATE accounts SET balance = balance - ?1 WHERE card = ?2 AND balance >= ?1"
            if db.execute(take, (order.amount_cents, order.card)).rowcount == 0:
                raise Refused("card_declined")
            db.execute("UPDATE accounts SET balance = balance + ? WHERE card = 'merchant'", (order.amount_cents,))
            return Charge(order.card, order.amount_cents)

        return self.act(key, "charge", Charge, do)

    def refund(self, *, key: str, action_key: str) -> None:
        """Give back the money that was taken under `action_key`."""

        def undo(db: sqlite3.Connection, charge: Charge) -> None:
            give = "UPDATE accounts SET balance = balance + ? WHERE card = ?"
            db.execute(give, (charge.amount_cents, charge.card))
            db.execute(give, (-charge.amount_cents, "merchant"))

        self.undo(key, action_key, "refund", Charge, undo)

    def charged(self, *, action_key: str) -> Charge | None:
        """Return the charge of `action_key`. None means: nothing was taken, and now it cannot be."""
        return self.check(action_key, Charge)


class Shipping(Participant):
    """The carrier: bookings and confirmations."""

    schema = """
    CREATE TABLE IF NOT EXISTS shipments (tracking TEXT PRIMARY KEY, order_id TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS confirmations (order_id TEXT NOT NULL, tracking TEXT NOT NULL);
    """

    def book(self, order: Order, *, key: str) -> Shipment:
        """Book a shipment; it cannot be taken back. Raises Refused (`not_served`)."""

        def do(db: sqlite3.Connection) -> Shipment:
            if order.country not in SERVED:
                raise Refused("not_served")
            (count,) = db.execute("SELECT count(*) FROM shipments").fetchone()
            shipment = Shipment(f"T{count + 1:06d}")
            db.execute("INSERT INTO shipments VALUES (?, ?)", (shipment.tracking, order.id))
            return shipment

        return self.act(key, "book", Shipment, do)

    def confirm(self, order: Order, shipment: Shipment, *, key: str) -> Shipment:
        """Tell the customer, once."""

        def do(db: sqlite3.Connection) -> Shipment:
            db.execute("INSERT INTO confirmations VALUES (?, ?)", (order.id, shipment.tracking))
            return shipment

        return self.act(key, "confirm", Shipment, do)


class Shop:
    """The three services of a worker."""

    def __init__(self, folder: Path | None, *, weather: Weather = FAIR) -> None:
        """Open the services. Without a folder their databases are in memory."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.stock = Stock(folder and folder / "stock.db", weather)
        self.payments = Payments(folder and folder / "payments.db", weather)
        self.shipping = Shipping(folder and folder / "shipping.db", weather)

    @property
    def books(self) -> dict[str, sqlite3.Connection]:
        """The databases, for the audit."""
        return {"stock": self.stock.db, "payments": self.payments.db, "shipping": self.shipping.db}

    def prepare(self, orders: list[Order]) -> None:
        """Stock up and open accounts, once, for these orders."""
        self.stock.fill(orders)
        self.payments.open_accounts(orders)

    def close(self) -> None:
        """Close the databases."""
        for service in (self.stock, self.payments, self.shipping):
            service.close()
