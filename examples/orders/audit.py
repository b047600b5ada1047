"""The audit: reads the three databases after a run, and finds where the books do not balance. It knows no saga.

    sagakit list --ended --limit 1000 -o jsonl | python -m examples.orders.audit FOLDER

As a program it reads the ends of the orders from standard input, and checks the books in the folder.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from examples.orders.domain import Order
from examples.orders.orders_file import OWN_FILE, read_orders


class Finding(NamedTuple):
    """A rule, and the facts that contradict it."""

    rule: str
    wrong: list[str]


def audit(folder: Path, orders: list[Order], outcomes: Mapping[str, bool]) -> list[Finding]:
    """Check every rule on the databases of a folder. `outcomes` is True for each order that was completed."""
    books = {name: sqlite3.connect(folder / f"{name}.db") for name in ("stock", "payments", "shipping")}
    try:
        return audit_books(books, orders, outcomes)
    finally:
        for book in books.values():
            book.close()


def audit_books(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[Finding]:
    """Check every rule on open databases, as `audit` does."""
    return [Finding(rule, check(books, orders, outcomes)) for rule, check in RULES.items()]


Books = dict[str, sqlite3.Connection]
Rule = Callable[[Books, list[Order], Mapping[str, bool]], list[str]]


def _goods(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    rows = books["stock"].execute("SELECT sku, free, reserved, shipped, initial FROM stock")
    return [
        f"{sku}: {free} free + {reserved} reserved + {shipped} shipped, {initial} at the start"
        for sku, free, reserved, shipped, initial in rows
        if free + reserved + shipped != initial
    ]


def _nothing_set_aside(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    if len(outcomes) < len(orders):
        return []
    rows = books["stock"].execute("SELECT sku, reserved FROM stock WHERE reserved != 0")
    return [f"{sku}: {reserved} still reserved" for sku, reserved in rows]


def _shipped(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    wanted: Counter[str] = Counter()
    for order in orders:
        if outcomes.get(order.id):
            wanted[order.sku] += order.quantity
    rows = books["stock"].execute("SELECT sku, shipped FROM stock")
    return [f"{sku}: {shipped} shipped, {wanted[sku]} sold" for sku, shipped in rows if shipped != wanted[sku]]


def _money(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    now, before = books["payments"].execute("SELECT sum(balance), sum(initial) FROM accounts").fetchone()
    return [] if now == before else [f"{now} cents in all accounts, {before} at the start"]


def _takings(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    sold = sum(order.amount_cents for order in orders if outcomes.get(order.id))
    (taken,) = books["payments"].execute("SELECT balance FROM accounts WHERE card = 'merchant'").fetchone()
    return [] if taken == sold else [f"the merchant has {taken} cents, completed orders are worth {sold}"]


def _no_effect_twice(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    """Find effects that happened twice. Service, kind and order (the second part of a key) name an effect."""
    wrong: list[str] = []
    undone_by = {"reserve": "release", "charge": "refund"}
    for name, book in books.items():
        counts = Counter((key.split("/")[1], kind) for key, kind in book.execute("SELECT key, kind FROM effects"))
        for (order, kind), times in counts.items():
            in_force = times - counts[order, undone_by.get(kind, "")]
            if in_force > 1:
                wrong.append(f"{name}: {kind} of {order} is in force {in_force} times")
    return wrong


def _effects_fit(books: Books, orders: list[Order], outcomes: Mapping[str, bool]) -> list[str]:
    """Find completed orders without all their effects, and failed ones with effects left."""
    in_force: Counter[tuple[str, str]] = Counter()
    sign = {"release": ("reserve", -1), "refund": ("charge", -1)}
    for book in books.values():
        for key, kind in book.execute("SELECT key, kind FROM effects"):
            what, amount = sign.get(kind, (kind, 1))
            in_force[key.split("/")[1], what] += amount
    wrong: list[str] = []
    for order, completed in outcomes.items():
        for what in ("reserve", "charge", "book", "hand_over", "confirm"):
            times = in_force[order, what]
            if times != int(completed):
                end = "completed" if completed else "failed"
                wrong.append(f"{order} ({end}): {what} is in force {times} times")
    return wrong


RULES: dict[str, Rule] = {
    "stock + reserved + shipped is constant": _goods,
    "nothing is left reserved": _nothing_set_aside,
    "what was sold was shipped": _shipped,
    "money is conserved": _money,
    "the merchant has what was sold": _takings,
    "no effect is in force twice": _no_effect_twice,
    "completed orders have every effect, failed ones none": _effects_fit,
}


def main() -> int:
    """Run the command line. Return 1 if the books do not balance, or an order has not ended."""
    lines = [json.loads(line) for line in sys.stdin]
    outcomes = {line["id"]: line["status"] == "completed" for line in lines}
    orders = read_orders(OWN_FILE).orders
    print(f"{len(outcomes)} of {len(orders)} orders have ended, {sum(outcomes.values())} are completed")
    findings = audit(Path(sys.argv[1]), orders, outcomes)
    for finding in findings:
        print("WRONG" if finding.wrong else "ok   ", finding.rule, *finding.wrong[:10], sep="  ")
    good = len(outcomes) == len(orders) and not any(finding.wrong for finding in findings)
    print("books balance" if good else "the books do not balance")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
