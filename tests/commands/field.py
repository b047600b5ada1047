"""A stream, of a user's own or the runtime's, and a saga that its messages start, signal and cancel."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from sagakit import Command, Context, Runtime, Saga, open_client, open_runtime, signal, step
from sagakit.client.letters import Letter
from sagakit.errors import UnknownSaga
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names

from tests.servers import Server

WITHIN = 60.0
"""Seconds within which something that must come has come."""
RUNS: list[str] = []
"""The ids of the orders that a first step was called with."""


class Order(msgspec.Struct):
    order_id: str
    cents: int = 0
    waits: bool = False


class Place(Saga[Order, int]):
    @step(compensate=None)
    async def note(self, order: Order, ctx: Context) -> None:
        RUNS.append(order.order_id)

    paid = signal(int, after=[note], when=lambda order, ctx: order.waits)

    @step(paid, compensate=None)
    async def total(self, order: Order, paid: int | None, ctx: Context) -> int:
        return order.cents + (paid or 0)

    def output(self, input: Order, ctx: Context) -> int:
        return ctx.result(Place.total)


class Field:
    """A stream of commands under the namespace of a test: the runtime's own if `own`, else one of a user's."""

    def __init__(self, server: Server, namespace: str, wire: LinkWire, *, own: bool = False) -> None:
        self.server = server
        self.namespace = namespace
        self.wire = wire
        self.own = own
        names = Names(namespace=namespace)
        self.stream = names.intake if own else f"{namespace}_ORDERS"
        self.head = names.intake_subject(f"{namespace}orders") if own else f"{namespace}orders"
        """The beginning of the subjects of the commands."""

    @classmethod
    async def made(cls, server: Server, namespace: str, wire: LinkWire, *, own: bool = False) -> Field:
        """Make the stream, unless it is the runtime's own."""
        found = cls(server, namespace, wire, own=own)
        if not own:
            subjects = [f"{found.head}.>"]
            await found.ask(f"STREAM.CREATE.{found.stream}", name=found.stream, subjects=subjects, storage="memory")
        return found

    async def ask(self, subject: str, **request: Any) -> Any:
        return msgspec.json.decode(await self.wire.request(f"$JS.API.{subject}", msgspec.json.encode(request)))

    async def send(self, subject: str, payload: Any, **headers: str) -> None:
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        block = header_block({name.replace("_", "-"): value for name, value in headers.items()})
        await self.wire.request(f"{self.head}.{subject}", data, headers=block)

    @staticmethod
    def command_of(namespace: str, subject: str = "place", **options: Any) -> Command:
        given: dict[str, Any] = {"id": "order_id", "start": "all", **options}
        return Command(f"{namespace}orders.{subject}", Place, **given)

    def command(self, subject: str = "place", **options: Any) -> Command:
        return self.command_of(self.namespace, subject, **({"stream": None} if self.own else {}), **options)

    def runtime(self, *commands: Command) -> Any:
        return open_runtime(self.server.url, sagas=[Place()], namespace=self.namespace, commands=commands)

    async def consumer(self, command: Command) -> Any:
        """Return what the server says about the consumer of a command."""
        return await self.ask(f"CONSUMER.INFO.{self.stream}.{self.namespace}_{command.name}")

    async def unacknowledged(self, command: Command) -> int:
        info = await self.consumer(command)
        return int(info["num_ack_pending"] + info["num_pending"])

    async def acknowledged(self, command: Command) -> None:
        """Wait until each command is acknowledged."""
        with trio.fail_after(WITHIN):
            while await self.unacknowledged(command):  # noqa: ASYNC110  # the server counts them
                await trio.sleep(0.02)

    async def letters(self, number: int) -> list[Letter]:
        """Wait until there are so many dead letters, and return them."""
        async with open_client(self.server.url, namespace=self.namespace) as client:
            with trio.fail_after(WITHIN):
                while len(found := [one async for one in client.dead_letters.all()]) < number:  # noqa: ASYNC110
                    await trio.sleep(0.02)
        return found


async def outcome(runtime: Runtime, id: str) -> Any:
    """Wait until a saga is there, and return its outcome."""
    with trio.fail_after(WITHIN):
        while True:
            try:
                return await (await runtime.get(Place, id)).outcome()
            except UnknownSaga:
                await trio.sleep(0.02)
