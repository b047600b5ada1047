"""The reader of orders from a CSV file. A bad row is reported with its line number, and left out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import msgspec

from examples.orders.domain import Order

COLUMNS = ("id", "card", "country", "sku", "quantity", "amount_cents")
OWN_FILE = Path(__file__).parent / "orders.csv"


class Orders(NamedTuple):
    """The content of a file: the orders, and a line of text for each bad row."""

    orders: list[Order]
    problems: list[str]


class NotAnOrdersFile(ValueError):
    """The file as a whole cannot be read as orders."""


def read_orders(path: Path) -> Orders:
    """Return the content of a file. Raises NotAnOrdersFile, OSError."""
    orders: dict[str, Order] = {}
    problems: list[str] = []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise NotAnOrdersFile(
                    f"{path}: no column {', '.join(missing)}; the first line must be {','.join(COLUMNS)}"
                )
            for row in rows:
                try:
                    order = _order(row)
                    if order.id in orders:
                        raise ValueError(f"the order {order.id} appears a second time")
                    orders[order.id] = order
                except ValueError as error:
                    problems.append(f"{path.name}, line {rows.line_num}: {error}")
        except (csv.Error, UnicodeDecodeError) as error:
            raise NotAnOrdersFile(f"{path}: not a CSV file: {error}") from None
    return Orders(list(orders.values()), problems)


def _order(row: dict[str, str | None]) -> Order:
    given = {column: row[column] for column in COLUMNS}
    empty = [column for column, value in given.items() if not value]
    if empty:
        raise ValueError(f"no {', '.join(empty)}")
    order = msgspec.convert(given, Order, strict=False)
    if order.quantity < 1 or order.amount_cents < 1:
        raise ValueError("quantity and amount_cents must be at least 1")
    return order
