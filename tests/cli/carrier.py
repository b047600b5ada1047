"""A worker with eight orders whose carrier is away while a file says so, as at the top of docs/operators.md.

python -m tests.cli.carrier URL FOLDER
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sagakit
import trio
from sagakit import Context, RetryPolicy, Saga, step

DOWN = "carrier-is-down"
"""The file, in the folder."""
ORDERS = 8
TWICE = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=10))


@dataclass
class Order:
    sku: str
    cents: int


class PlaceOrder(Saga[Order, str]):
    """A saga that gets stuck at its pivot while the carrier is away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @step
    async def reserve(self, order: Order, ctx: Context) -> str:
        return f"reservation of {order.sku}"

    @reserve.compensate
    async def release(self, order: Order, reserved: str | None, ctx: Context) -> None: ...

    @step(reserve)
    async def charge(self, order: Order, reserved: str, ctx: Context) -> str:
        return f"charge of {order.cents}"

    @charge.compensate
    async def refund(self, order: Order, charged: str | None, ctx: Context) -> None: ...

    @step(charge, pivot=True, retry=TWICE)
    async def ship(self, order: Order, charged: str, ctx: Context) -> str:
        if await trio.Path(self._folder / DOWN).exists():
            raise ConnectionError("carrier: 503")
        return "parcel 1"

    def output(self, order: Order, ctx: Context) -> str:
        return ctx.result(PlaceOrder.ship)


async def work(url: str, folder: Path) -> None:
    """Start the orders, say so once they are stuck, and run them until killed."""
    async with sagakit.open_runtime(url, sagas=[PlaceOrder(folder)], worker_name="shop") as runtime:
        for number in range(1, ORDERS + 1):
            saga = await runtime.start(PlaceOrder, f"order-{number}", Order("lamp", 4200))
            await saga.wait(or_stuck=True)
        sys.stdout.write("settled\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # the carrier is away on purpose
    trio.run(work, sys.argv[1], Path(sys.argv[2]))
