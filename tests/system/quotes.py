"""Orders that wait for a quote: a parent and a child, each with a signal."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from sagakit import Context, Saga, child, signal, step
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.names import SagaKey

from tests.system.members import Member

CALM = {"lease_ttl": 3600.0, "scan_interval": 36000.0}


class Quote(Saga[str, int]):
    """The child: a signal tells it a number, and it makes a booking that can be undone."""

    told = signal(int)

    def __init__(self) -> None:
        self.log: list[str] = []

    @step(told)
    async def book(self, name: str, told: int, ctx: Context) -> int:
        self.log.append("book")
        return told

    @book.compensate
    async def unbook(self, name: str, booked: int | None, ctx: Context) -> None:
        self.log.append("unbook")

    def output(self, input: str, ctx: Context) -> int:
        return ctx.result(Quote.book)


class Order(Saga[str, int]):
    """The parent, with a signal after its child."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @step
    async def first(self, name: str, ctx: Context) -> None: ...

    @first.compensate
    async def undo_first(self, name: str, none: None, ctx: Context) -> None:
        self.log.append("undo_first")

    quote = child(Quote, lambda name, ctx: name, after=[first])
    go = signal(str, after=[quote])

    @step(go, quote)
    async def last(self, name: str, go: str, quote: int, ctx: Context) -> int:
        return quote + 1

    @last.compensate
    async def undo_last(self, name: str, number: int | None, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> int:
        return ctx.result(Order.last)


async def begun(running: Member) -> SagaKey:
    """Start an order and return the key of the quote that it waits for."""
    await running.runtime.start(Order, "one", "x")
    await trio.sleep(5)
    record = await running.runtime.load(Order, "one")
    assert record.steps["quote"].state == "awaiting"
    return SagaKey("Quote", f"one/{record.run}/quote/1")


async def number(running: Member, quote: SagaKey, value: int) -> None:
    """Tell a quote its number. The quote then completes."""
    await running.runtime.signal(Quote, quote.saga_id, Quote.told, value)
    await trio.sleep(5)


async def told(running: Member, address: SagaKey, id: str, body: dict[str, Any]) -> None:
    """Put a message into the inbox as another program would."""
    await running.worker.requests.send(address, id, msgspec.json.decode(msgspec.json.encode(body), type=InboxRequest))
    await trio.sleep(5)
