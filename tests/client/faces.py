"""The faces of one suite: a client under asyncio, a client under trio, and a runtime; and a worker for the clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import sagakit
import sagakit.asyncio
import trio
from sagakit import Client, ClientApi, Context, Reject, RetryPolicy, Saga, signal, step

from tests.servers import Server

LONG = 120.0
ONCE = RetryPolicy(max_attempts=1)


class Order(msgspec.Struct, frozen=True):
    """An order that may wait for an approval, be refused by the shop, or break when it is charged."""

    number: int = 1
    asks: bool = False
    refused: bool = False
    breaks: bool = False
    note: str = ""


def asks(order: Order, ctx: Context) -> bool:
    return order.asks


class Buy(Saga[Order, str]):
    """Reserve, wait for an approval if the order asks for it, charge."""

    broken = True
    """True while the charge of orders that break fails; an operator may mend it meanwhile."""

    @step(retry=ONCE)
    async def reserve(self, order: Order, ctx: Context) -> int:
        if order.refused:
            raise Reject("sold out", number=order.number)
        return order.number

    @reserve.compensate(retry=ONCE)
    async def release(self, order: Order, reserved: int | None, ctx: Context) -> None: ...

    approved = signal(str, after=[reserve], when=asks)

    @step(approved, pivot=True, retry=ONCE, timeout=timedelta(seconds=5))
    async def charge(self, order: Order, approved: str | None, ctx: Context) -> str:
        if order.breaks and type(self).broken:
            raise RuntimeError("the bank is down")
        return f"{order.number} {approved or 'unasked'}"

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Buy.charge)


class Elsewhere(Saga[int]):
    """A saga that no worker here has."""

    @step(compensate=None)
    async def one(self, number: int, ctx: Context) -> int:
        return number


@contextmanager
def worker(server: Server, namespace: str, *sagas: Saga[Any, Any], **options: Any) -> Iterator[None]:
    """Run a worker in a thread of its own."""
    ready, stop = threading.Event(), trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    failed: list[BaseException] = []

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with sagakit.open_runtime(
            server.url, sagas=list(sagas) or [Buy()], namespace=namespace, drain_timeout=0.5, **options
        ):
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:  # raised in the test's thread
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(LONG), "the worker has not started"
        if not failed:
            yield
    finally:
        if tokens and not failed:
            trio.from_thread.run_sync(stop.set, trio_token=tokens[0])
        thread.join(LONG)
        assert not failed, failed
        assert not thread.is_alive(), "the worker has not stopped"


def under_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function under plain asyncio: once trio-asyncio is imported, `asyncio.run` runs on trio."""

    async def bounded() -> None:
        async with asyncio.timeout(LONG):
            await main()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(bounded())


def under_trio(main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function under trio."""

    async def bounded() -> None:
        with trio.fail_after(LONG):
            await main()

    trio.run(bounded)


OnClient = Callable[[str, Callable[[Client], Awaitable[None]]], None]
OnApi = Callable[[Server, str, Callable[[ClientApi], Awaitable[None]]], None]


def on_asyncio_client(url: str, body: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_client(url, **options) as client:
            await body(client)

    under_asyncio(main)


def on_trio_client(url: str, body: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with sagakit.open_client(url, **options) as client:
            await body(client)

    under_trio(main)


CLIENTS: dict[str, Callable[..., None]] = {"asyncio": on_asyncio_client, "trio": on_trio_client}


def on_face(face: str, server: Server, namespace: str, body: Callable[[Any], Awaitable[None]]) -> None:
    """Run a test on a client, with a worker beside it, or on a runtime."""
    if face in CLIENTS:
        with worker(server, namespace):
            CLIENTS[face](server.url, body, namespace=namespace)
        return

    async def main() -> None:
        async with sagakit.open_runtime(server.url, sagas=[Buy()], namespace=namespace, drain_timeout=0.5) as runtime:
            await body(runtime)

    under_trio(main)


FACES = [*CLIENTS, "runtime"]
