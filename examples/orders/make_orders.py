"""A script that makes orders.csv, always the same 500 orders: `python -m examples.orders.make_orders`."""

from __future__ import annotations

import csv
import random
from argparse import ArgumentParser

from examples.orders.orders_file import COLUMNS, OWN_FILE

PRICES = {
    "lamp": 2450,
    "chair": 8900,
    "table": 21900,
    "mug": 790,
    "rug": 5600,
    "shelf": 11900,
    "clock": 3300,
    "vase": 1850,
}
SERVED, NOT_SERVED = ["DE", "FR", "NL", "PL", "IT", "ES"], ["AQ", "KP"]


def main() -> None:
    """Write the file."""
    dice = random.Random(20)
    with OWN_FILE.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for number in range(1, 501):
            sku = dice.choice(list(PRICES))
            quantity = dice.choice([1, 1, 1, 2, 2, 3])
            card = f"{'empty' if dice.random() < 0.05 else 'card'}-{dice.randrange(1000, 1200)}"
            country = dice.choice(NOT_SERVED if dice.random() < 0.04 else SERVED)
            rows.writerow([f"order-{number:04d}", card, country, sku, quantity, quantity * PRICES[sku]])


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
