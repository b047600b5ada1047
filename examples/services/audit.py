"""The audit: reads the databases of the services and the archive, and finds where the books do not balance."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from examples.services.archive import Ended
from examples.services.domain import Order

TABLES = {"stock": "reservations", "payments": "charges", "shipping": "shipments"}
"""The table in which each service books its work, in the database of its name."""
Ends = Mapping[str, Ended]
Rule = Callable[["Books", Sequence[Order], Ends], list[str]]


class Books(NamedTuple):
    """The databases of the services."""

    stock: sqlite3.Connection
    payments: sqlite3.Connection
    shipping: sqlite3.Connection

    def in_force(self, service: str) -> Counter[str]:
        """Return how often a service has work in force, by order: work that was done and not undone."""
        rows = self.rows(service, "order_id, 1 - undone")
        counts: Counter[str] = Counter()
        for order, count in rows:
            counts[order] += count
        return counts

    def rows(self, service: str, columns: str) -> list[tuple[str, int]]:
        """Return columns of the work that a service has booked."""
        connection: sqlite3.Connection = getattr(self, service)
        return connection.execute(f"SELECT {columns} FROM {TABLES[service]}").fetchall()


def audit(folder: Path, orders: Sequence[Order], ends: Ends) -> dict[str, list[str]]:
    """Return what contradicts each rule, in the databases of a folder."""
    with ExitStack() as stack:
        books = Books(*(stack.enter_context(closing(sqlite3.connect(folder / f"{name}.db"))) for name in TABLES))
        return {text: rule(books, orders, ends) for text, rule in RULES.items()}


def _all_have_ended(books: Books, orders: Sequence[Order], ends: Ends) -> list[str]:
    return [f"{order.id} has not ended" for order in orders if order.id not in ends]


def _work_fits(books: Books, orders: Sequence[Order], ends: Ends) -> list[str]:
    """Find completed orders without all their work, and others with work left, also those that nobody sent."""
    wrong: list[str] = []
    for service, table in TABLES.items():
        counts = books.in_force(service)
        for order in counts.keys() | ends.keys():
            due = int(order in ends and ends[order].completed)
            if counts[order] != due:
                wrong.append(f"{order} has {counts[order]} {table} in force, {due} due")
    return sorted(wrong)


def _no_key_twice(books: Books, orders: Sequence[Order], ends: Ends) -> list[str]:
    wrong: list[str] = []
    for service, table in TABLES.items():
        counts = Counter(key for key, _ in books.rows(service, "key, number"))
        wrong += [f"{key} is worked {times} times: {table}" for key, times in counts.items() if times > 1]
    return wrong


def _goods(books: Books, orders: Sequence[Order], ends: Ends) -> list[str]:
    held = "SELECT coalesce(sum(quantity), 0) FROM reservations WHERE sku = goods.sku AND NOT undone"
    rows = books.stock.execute(f"SELECT sku, delivered, free, ({held}) FROM goods")
    return [
        f"{sku}: {free} free + {reserved} reserved, {delivered} delivered"
        for sku, delivered, free, reserved in rows
        if free + reserved != delivered
    ]


def _money(books: Books, orders: Sequence[Order], ends: Ends) -> list[str]:
    sold = sum(order.amount_cents for order in orders if order.id in ends and ends[order.id].completed)
    (paid,) = books.payments.execute("SELECT coalesce(sum(amount_cents), 0) FROM charges WHERE NOT undone").fetchone()
    return [] if paid == sold else [f"{paid} cents were paid for {sold} cents' worth of orders"]


def _no_doubt(books: Books, orders: Sequence[Order], ends: Ends) -> list[str]:
    return [f"{order}: {end.in_doubt} attempts in doubt" for order, end in ends.items() if end.in_doubt]


RULES: dict[str, Rule] = {
    "every order has ended": _all_have_ended,
    "a completed order has one reservation, one charge and one shipment; an undone order has none": _work_fits,
    "no key was worked twice": _no_key_twice,
    "all goods are free or reserved": _goods,
    "what was sold is paid, and nothing else": _money,
    "no attempt is in doubt because its worker died": _no_doubt,
}
