"""A worker process: `python -m examples.orders.worker URL FOLDER FILE`.

It starts every order of the file as a saga; sagas that were started before go on. It prints a JSON line for each saga
that has ended or is stuck. It ends when all have, or when its standard input is closed. `sagakit demo` runs it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import msgspec
import sagakit
import trio
from sagakit import PersistedSagaState, Runtime

from examples.orders.domain import Order
from examples.orders.orders_file import read_orders
from examples.orders.saga import PlaceOrder
from examples.orders.services import Shop
from examples.orders.weather import Weather

INFLIGHT = 100
WEATHER = Weather(busy=40, lost=20)


class Line(msgspec.Struct, frozen=True):
    """The line that is printed for one saga. `sagakit demo` reads it."""

    order: str
    status: str
    cause: str
    steps: int
    undone: int
    retries: int
    recovered: int
    seconds: float
    """Seconds from its start to its end."""


async def work(url: str, folder: Path, file: Path) -> None:
    """Run all orders to their ends."""
    orders = read_orders(file).orders
    shop = Shop(folder, weather=WEATHER)
    shop.prepare(orders)
    try:
        async with (
            sagakit.open_runtime(url, sagas=[PlaceOrder(shop)], worker_name="orders") as runtime,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_until_stdin_closes, nursery.cancel_scope)
            async with trio.open_nursery() as running:
                limit = trio.CapacityLimiter(INFLIGHT)
                for order in orders:
                    running.start_soon(_one, runtime, order, limit)
            nursery.cancel_scope.cancel()
    finally:
        shop.close()


async def _one(runtime: Runtime, order: Order, limit: trio.CapacityLimiter) -> None:
    async with limit:
        saga = await runtime.start(PlaceOrder, order.id, order)
        await saga.wait(or_stuck=True)
        line = _line(await runtime.load(PlaceOrder, order.id))
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _line(record: PersistedSagaState[msgspec.Raw]) -> Line:
    steps = record.steps.values()
    ended = record.outcome.at if record.outcome is not None else record.updated_at
    return Line(
        order=record.saga_id,
        status=record.status,
        cause=record.failure.code or record.failure.cause if record.failure is not None else "",
        steps=sum(log.state in ("done", "undone") for log in steps),
        undone=sum(log.state == "undone" for log in steps),
        retries=sum(max(0, log.attempt - 1) + max(0, log.undo_attempt - 1) + log.check_attempt for log in steps),
        recovered=record.epoch - 1,
        seconds=ended - record.created_at,
    )


async def _until_stdin_closes(scope: trio.CancelScope) -> None:
    """Cancel the work when standard input closes: then the process that started this one has gone."""
    await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    scope.cancel()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    logging.getLogger("sagakit.step").setLevel(logging.ERROR)  # the weather fails calls on purpose: they are counted
    try:
        trio.run(work, given.url, given.folder, given.file)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
