"""A worker for the orders of the demo, whose payment provider is away while a file says so.

python -m tests.cli.outage URL FOLDER
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import sagakit
import trio

from examples.orders.domain import Charge, Order
from examples.orders.orders_file import OWN_FILE, read_orders
from examples.orders.saga import PlaceOrder
from examples.orders.services import Payments, Shop
from examples.orders.weather import Weather

DOWN = "payments-are-down"
"""The file, in the folder of the books."""
INFLIGHT = 500


class Outage(Weather):
    """Every call fails while the file exists, and nobody can tell whether it has happened."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def before(self, key: str) -> None:
        """Raise ConnectionError while the service is away."""
        if self._file.exists():
            raise ConnectionError("payments: 503 Service Unavailable")


class AwayPayments(Payments):
    """The payment provider, whose checks fail as well while it is away."""

    def charged(self, *, action_key: str) -> Charge | None:
        """Raise ConnectionError while the service is away."""
        self._weather.before(action_key)
        return super().charged(action_key=action_key)


async def work(url: str, folder: Path) -> None:
    """Start all orders, and run them until killed."""
    orders = read_orders(OWN_FILE).orders
    shop = Shop(folder)
    shop.payments = AwayPayments(folder / "payments.db", Outage(folder / DOWN))
    shop.prepare(orders)
    async with sagakit.open_runtime(url, sagas=[PlaceOrder(shop)], worker_name="orders") as runtime:
        limit = trio.CapacityLimiter(INFLIGHT)

        async def one(order: Order) -> None:
            async with limit:
                saga = await runtime.start(PlaceOrder, order.id, order)
                await saga.wait(or_stuck=True)

        async with trio.open_nursery() as nursery:
            for order in orders:
                nursery.start_soon(one, order)
        sys.stdout.write("settled\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # the outage is on purpose
    trio.run(work, sys.argv[1], Path(sys.argv[2]))
