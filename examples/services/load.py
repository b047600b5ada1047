"""The load: orders by HTTP, each sent again until it is taken, and asked about until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx

from examples.services.domain import Order

AT_ONCE = 32
"""Orders that are on their way at a time."""
AGAIN = 0.5
"""Seconds until a request is sent again that nobody could answer."""


def orders(count: int) -> list[Order]:
    """Return so many orders. A few cards are empty, nobody ships to Elbonia, and there are not enough globes."""
    return [
        Order(
            id=f"order-{number:04}",
            sku=("lamp", "vase", "globe", "lamp", "vase")[number % 5],
            quantity=1 + number % 3,
            amount_cents=(1 + number % 3) * 1_990,
            card=f"empty-{number}" if number % 9 == 0 else f"card-{number}",
            country="Elbonia" if number % 11 == 0 else "Italy",
        )
        for number in range(1, count + 1)
    ]


class Load:
    """Customers of a front. `after_each` is called after the end of each order, with the number that have ended."""

    def __init__(self, front: str, *, after_each: Callable[[int], Awaitable[None]] | None = None) -> None:
        self._front = front
        self._after_each = after_each
        self.ends: dict[str, str] = {}
        """The ends that the front has told of, by order: `completed`, or the reason why the order was undone."""
        self.sent_again = 0
        """Requests that were sent again, since the front was not there or could not answer."""

    async def run(self, wanted: Iterable[Order]) -> None:
        """Place orders, and return once each of them has ended."""
        async with httpx.AsyncClient(base_url=self._front, timeout=30) as http, asyncio.TaskGroup() as group:
            at_once = asyncio.Semaphore(AT_ONCE)
            for order in wanted:
                group.create_task(self._place(http, order, at_once))

    async def _place(self, http: httpx.AsyncClient, order: Order, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            placed = await self._answer(http, "POST", "/orders", order.model_dump())
            self.ends[order.id] = await self._end(http, placed["status"])
            if self._after_each is not None:
                await self._after_each(len(self.ends))

    async def _end(self, http: httpx.AsyncClient, path: str) -> str:
        """Ask about an order until it has ended, and return how."""
        while True:
            found = await self._answer(http, "GET", path)
            if found["status"] != "not ended":
                return str(found.get("code", found["status"]))
            await asyncio.sleep(AGAIN)

    async def _answer(self, http: httpx.AsyncClient, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send a request until it is answered. An order has an id, so that it may be sent any number of times."""
        while True:
            try:
                answer = await http.request(method, path, json=body)
                if not answer.is_server_error:
                    found: dict[str, Any] = answer.raise_for_status().json()
                    return found
            except httpx.TransportError:
                pass  # the front is down, or was killed at this very moment
            self.sent_again += 1
            await asyncio.sleep(AGAIN)
