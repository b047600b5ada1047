"""Commands on a stream of a user's own, against a real server: started once, buried if bad, refused if they differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio
from sagakit import Command, Completed, Config, Context, Runtime, Saga, open_client, open_runtime, signal, step
from sagakit.client.letters import Letter
from sagakit.errors import BadBucket, InvalidConfig, Refused, StoreFull, UnknownSaga
from sagakit.jetstream.inbox import StreamInbox, stored_at
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Channel
from sagakit.system.open_store import open_store

from tests.servers import Server

WITHIN = 20.0
RUNS: list[str] = []


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
    """A stream of a user's own under the namespace of a test."""

    def __init__(self, server: Server, namespace: str, wire: LinkWire) -> None:
        self.server = server
        self.namespace = namespace
        self.wire = wire
        self.stream = f"{namespace}_ORDERS"

    async def ask(self, subject: str, **request: Any) -> Any:
        return msgspec.json.decode(await self.wire.request(f"$JS.API.{subject}", msgspec.json.encode(request)))

    async def send(self, subject: str, payload: Any, **headers: str) -> None:
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        block = header_block({name.replace("_", "-"): value for name, value in headers.items()})
        await self.wire.request(f"{self.namespace}orders.{subject}", data, headers=block)

    def command(self, subject: str = "place", **options: Any) -> Command:
        given: dict[str, Any] = {"id": "order_id", "start": "all", **options}
        return Command(f"{self.namespace}orders.{subject}", Place, **given)

    def runtime(self, *commands: Command) -> Any:
        return open_runtime(self.server.url, sagas=[Place()], namespace=self.namespace, commands=commands)


@pytest.fixture
async def field(server: Server, namespace: str) -> AsyncIterator[Field]:
    async with open_store(server.url, Config(namespace=namespace)) as store:
        found = Field(server, namespace, LinkWire(store._link))  # type: ignore[attr-defined]
        name, subjects = found.stream, [f"{namespace}orders.>"]
        await found.ask(f"STREAM.CREATE.{name}", name=name, subjects=subjects, storage="memory")
        yield found


async def outcome(runtime: Runtime, id: str) -> Any:
    """Wait until a saga is there, and return its outcome."""
    with trio.fail_after(WITHIN):
        while True:
            try:
                return await (await runtime.get(Place, id)).outcome()
            except UnknownSaga:
                await trio.sleep(0.02)


async def letters(field: Field, number: int) -> list[Letter]:
    async with open_client(field.server.url, namespace=field.namespace) as client:
        with trio.fail_after(WITHIN):
            while len(found := [one async for one in client.dead_letters.all()]) < number:  # noqa: ASYNC110
                await trio.sleep(0.02)
    return found


async def unacknowledged(field: Field, command: Command) -> int:
    name = f"{field.namespace}_{command.name}"
    info = await field.ask(f"CONSUMER.INFO.{field.stream}.{name}")
    return int(info["num_ack_pending"] + info["num_pending"])


async def test_a_command_starts_its_saga_once_however_often_it_comes(field: Field) -> None:
    RUNS.clear()
    command = field.command()
    await field.send("place", {"order_id": "one", "cents": 7})
    await field.send("place", {"order_id": "one", "cents": 7})  # another message with the same saga id
    async with field.runtime(command) as runtime:
        assert await outcome(runtime, "one") == Completed(7)
        with trio.fail_after(WITHIN):
            while await unacknowledged(field, command):  # noqa: ASYNC110  # the server counts them
                await trio.sleep(0.02)
    async with field.runtime(command) as runtime:
        await field.send("place", {"order_id": "two", "cents": 8})
        assert await outcome(runtime, "two") == Completed(8)
    assert RUNS == ["one", "two"]


async def test_bad_commands_are_dead_letters_and_hold_up_nobody(field: Field) -> None:
    await field.send("place", b"this is not JSON", Nats_Msg_Id="bad-1")
    await field.send("place", {"cents": 7})
    await field.send("place", {"order_id": "good", "cents": 7})
    async with field.runtime(field.command()) as runtime:
        assert await outcome(runtime, "good") == Completed(7)
        first, second = sorted(await letters(field, 2), key=lambda one: one.payload)
    assert (first.source, first.saga_type, first.code) == ("intake", "Place", "InvalidInput")
    assert (first.message_id, first.payload, first.headers) == (
        "bad-1", b"this is not JSON", {"Nats-Msg-Id": "bad-1"},
    )  # fmt: skip
    assert "no field 'order_id'" in second.reason


async def test_a_dead_command_is_edited_and_resent_to_its_stream(field: Field) -> None:
    await field.send("place", {"order": "mended", "cents": 7})
    async with field.runtime(field.command()) as runtime:
        [letter] = await letters(field, 1)
        async with open_client(field.server.url, namespace=field.namespace) as client:
            who = {"by": "ann", "why": "misspelt"}
            payload = msgspec.json.encode({"order_id": "mended", "cents": 7})
            edited = await client.dead_letters.edit(letter.sequence, payload, **who)
            await client.dead_letters.resend(edited.sequence, **who)
        assert await outcome(runtime, "mended") == Completed(7)


async def test_a_command_is_acknowledged_only_once_its_message_is_durable(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagakit.system.inbound.command_intake.AGAIN", 0.01)
    send, refused = StreamInbox.send, [StoreFull("in a test"), Refused(1, "in a test")]

    async def send_later(self: StreamInbox, channel: Channel, **message: Any) -> None:
        if refused:
            raise refused.pop()
        await send(self, channel, **message)

    monkeypatch.setattr(StreamInbox, "send", send_later)
    await field.send("place", {"order_id": "held", "cents": 7})
    async with field.runtime(field.command()) as runtime:
        assert await outcome(runtime, "held") == Completed(7)


async def test_a_command_that_is_older_than_the_retention_is_a_dead_letter(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    await field.send("place", {"order_id": "old", "cents": 7})
    monkeypatch.setattr("sagakit.jetstream.command_stream.stored_at", lambda reply: (stored_at(reply)[0], 0.0))
    async with field.runtime(field.command()):
        [letter] = await letters(field, 1)
    assert letter.code == "NotAllowed"


async def test_a_command_signals_a_saga_and_one_that_overtakes_its_start_waits(field: Field) -> None:
    paid = field.command("paid", input="cents", signal=Place.paid)
    async with field.runtime(paid, field.command()) as runtime:
        await field.send("paid", {"order_id": "late", "cents": 5})
        await field.send("place", {"order_id": "late", "cents": 7, "waits": True})
        assert await outcome(runtime, "late") == Completed(12)


async def test_a_consumer_that_differs_is_refused_by_name(field: Field) -> None:
    async with field.runtime(field.command()):
        pass
    with pytest.raises(BadBucket, match=r"the consumer .*_Place_start_.*orders_place .* has deliver_policy 'all'"):
        async with field.runtime(field.command(start="new")):
            pass


async def test_commands_that_cannot_be_taken_are_refused_when_the_runtime_opens(field: Field) -> None:
    async def opens(command: Command, **options: Any) -> None:
        given = {"sagas": [Place()], "namespace": field.namespace, "commands": [command], **options}
        async with open_runtime(given.pop("url", field.server.url), **given):
            pass

    with pytest.raises(InvalidConfig, match="no stream stores it"):
        await opens(Command("nobody.stores.this", Place, id="order_id", start="all"))
    with pytest.raises(InvalidConfig, match=r"add Place to sagas"):
        await opens(field.command(), sagas=[])
    with pytest.raises(InvalidConfig, match="adopt=False"):
        await opens(field.command(), adopt=False)
    with pytest.raises(InvalidConfig, match="needs a NATS server"):
        await opens(field.command(), url="memory:", namespace="")
    with pytest.raises(InvalidConfig, match="two commands share"):
        async with field.runtime(field.command(), field.command()):
            pass
