"""Sealed values on a real server: clients, participants and commands, and no file of the server with a plain value."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sagakit
import sagakit.asyncio
import trio
from sagakit import (
    AlreadyStarted,
    Command,
    Completed,
    Config,
    Context,
    Failed,
    NotAllowed,
    Reject,
    Saga,
    child,
    remote,
    signal,
    step,
)
from sagakit.definition.payloads import Compressed
from sagakit.encryption import Encrypted
from sagakit.errors import UnknownSaga
from sagakit.jetstream.link_wire import LinkWire
from sagakit.participant import CommandContext, MemoryKeys, Service, open_asyncio_participant, open_participant
from sagakit.store.ports import WireMessage
from sagakit.system.open_store import open_store

from tests.client.faces import under_asyncio
from tests.commands.field import Field
from tests.servers import Server, running_server

SECRET = "rosebud"
CODEC = [Compressed(above=4096), Encrypted({"k1": b"1" * 32}, current="k1")]


class Ship(Saga[str, str]):
    charge = remote(
        "payments.charge", str, send=lambda value, ctx: {"for": value}, compensate="payments.refund",
    )  # fmt: skip
    told = signal(str, after=[charge])

    @step(told, compensate=None)
    async def pack(self, value: str, told: str, ctx: Context) -> str:
        if "refuse" in told:
            raise Reject("no", why=told)
        return f"{value} {told} {ctx.result(Ship.charge)}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Ship.pack)


def payments(refunded: list[str]) -> Service:
    service = Service("payments")

    @service.endpoint("charge")
    async def charge(order: dict[str, str], ctx: CommandContext) -> str:
        if order["for"] == "poor rosebud":
            raise Reject("poor", who=order["for"])
        return f"charged {order['for']}"

    @charge.undo("refund")
    async def refund(order: dict[str, str], result: str, ctx: CommandContext) -> None:
        refunded.append(result)

    return service


@asynccontextmanager
async def heard_on(server: Server, *, but: str = "_INBOX.") -> AsyncIterator[list[WireMessage]]:
    """Hear all messages that anybody sends, except answers and those of a subject."""
    heard: list[WireMessage] = []

    def hear(message: WireMessage) -> None:
        if not message.subject.startswith(("_INBOX.", but)):
            heard.append(message)

    async with open_store(server.url, Config(namespace="ears")) as store:
        listening = await LinkWire(store._link).hear(">", hear)  # type: ignore[attr-defined]
        yield heard
        await listening.end()


def said(heard: list[WireMessage], word: str) -> list[str]:
    """Return the subjects of messages that have a word."""
    return [message.subject for message in heard if word.encode() in message.payload]


def files_with(folder: Path, word: str) -> list[str]:
    """Return the files of a server that have a word."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


@pytest.mark.parametrize("codec", [CODEC, None], ids=["sealed", "plain"])
async def test_no_file_of_the_server_has_a_plain_value(codec: Any, tmp_path: Path) -> None:
    refunded: list[str] = []
    with running_server(tmp_path) as server:
        async with (
            heard_on(server) as heard,
            sagakit.open_runtime(server.url, sagas=[Ship()], payload_codec=codec),
            open_participant(server.url, payments(refunded), keys=MemoryKeys(), payload_codec=codec),
            sagakit.open_client(server.url, payload_codec=codec) as client,
        ):
            with trio.fail_after(60):
                handle = await client.start(Ship, "1", SECRET)
                await client.signal(Ship, "1", Ship.told, "told rosebud")
                assert await handle.outcome() == Completed("rosebud told rosebud charged rosebud")
                handle = await client.start_with_signal(Ship, "2", SECRET, Ship.told, "refuse rosebud")
                outcome = await handle.outcome()
                assert isinstance(outcome, Failed)
                assert (outcome.code, outcome.detail) == ("no", {"why": "refuse rosebud"})
                poor = await client.execute(Ship, "3", "poor rosebud")
                assert isinstance(poor, Failed)
                assert (poor.code, poor.detail) == ("poor", {"who": "poor rosebud"})
                assert (await client.start(Ship, "1", SECRET)).key == "Ship.1"
                with pytest.raises(AlreadyStarted):
                    await client.start(Ship, "1", "another")
                described = await client.describe(Ship, "1")
                assert (described.input, described.output) == (SECRET, "rosebud told rosebud charged rosebud")
    assert refunded == ["charged rosebud"]
    assert len(heard) > 40
    assert bool(said(heard, SECRET)) == (codec is None)
    assert bool(files_with(tmp_path, SECRET)) == (codec is None)


async def test_a_client_without_the_key_sees_what_is_sealed_and_says_what_is_missing(
    server: Server, namespace: str
) -> None:
    async with (
        sagakit.open_runtime(server.url, sagas=[Ship()], payload_codec=CODEC, namespace=namespace) as runtime,
        open_participant(server.url, payments([]), keys=MemoryKeys(), payload_codec=CODEC, namespace=namespace),
        sagakit.open_client(server.url, namespace=namespace) as client,
    ):
        with trio.fail_after(60):
            await runtime.start_with_signal(Ship, "1", SECRET, Ship.told, "told rosebud")
            handle = await client.get(Ship, "1")
            with pytest.raises(NotAllowed, match="'aes-gcm/k1', for which this program has no codec"):
                await handle.outcome()
            described = await client.describe("Ship", "1")
    assert str(described.input) == "sealed with aes-gcm/k1, 37 bytes"
    assert "sealed with aes-gcm/k1" in str(described)


class Inner(Saga[str, str]):
    @step(compensate=None)
    async def work(self, value: str, ctx: Context) -> str:
        return f"worked {value}"

    def output(self, input: str, ctx: Context) -> str:
        return f"inner {input}"


class Outer(Saga[str, str]):
    inner = child(Inner, lambda value, ctx: f"for {value}")

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Outer.inner)


@pytest.mark.parametrize("codec", [CODEC, None], ids=["key", "no key"])
async def test_events_are_opened_for_a_client_with_the_key(server: Server, namespace: str, codec: Any) -> None:
    async with (
        sagakit.open_runtime(server.url, sagas=[Outer(), Inner()], payload_codec=CODEC, namespace=namespace) as runtime,
        sagakit.open_client(server.url, payload_codec=codec, namespace=namespace) as client,
    ):
        seen: dict[str, Any] = {}
        with trio.fail_after(60):
            async with client.watch() as events:
                await runtime.execute(Outer, "1", SECRET)
                async for event in events:
                    seen[event.type] = event.event.data
                    if event.type == "saga.Outer.completed":
                        break
    values = [
        seen["saga.Outer.started"]["input"], seen["saga.Inner.started"]["input"],
        seen["saga.Inner.step.work"]["result"],
        seen["saga.Inner.completed"]["output"], seen["saga.Outer.step.inner"]["result"],
        seen["saga.Outer.completed"]["output"],
    ]  # fmt: skip
    plain = [SECRET, "for rosebud", "worked for rosebud", "inner for rosebud", "inner for rosebud", "inner for rosebud"]
    if codec is None:
        assert all("$sealed" in value for value in values)
    else:
        assert values == plain


async def test_a_plain_start_and_a_plain_signal_of_a_client_are_sealed_by_the_worker(
    server: Server, namespace: str
) -> None:
    async with (
        sagakit.open_runtime(server.url, sagas=[Ship()], payload_codec=CODEC, namespace=namespace) as runtime,
        open_participant(server.url, payments([]), keys=MemoryKeys(), payload_codec=CODEC, namespace=namespace),
        sagakit.open_client(server.url, namespace=namespace) as client,
    ):
        with trio.fail_after(60):
            await client.start("Ship", "1", SECRET)
            await client.signal("Ship", "1", "told", "told rosebud")
            assert await (await runtime.get(Ship, "1")).outcome() == Completed("rosebud told rosebud charged rosebud")
            record = await runtime.load(Ship, "1")
    assert SECRET.encode() not in msgspec.json.encode(record)


async def test_a_start_that_a_worker_cannot_open_is_a_dead_letter_with_the_key_id(
    server: Server, namespace: str
) -> None:
    async with (
        sagakit.open_runtime(server.url, sagas=[Ship()], namespace=namespace),
        sagakit.open_client(server.url, payload_codec=CODEC, namespace=namespace) as client,
    ):
        handle = await client.start(Ship, "1", SECRET)
        with trio.fail_after(60), pytest.raises(sagakit.InvalidInput, match="'aes-gcm/k1', for which this program"):
            await handle.outcome()


async def test_a_plain_command_is_sealed_before_it_is_in_the_inbox(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        async with open_store(server.url, Config(namespace="shop")) as store:
            field = await Field.made(server, "shop", LinkWire(store._link))  # type: ignore[attr-defined]
            start = Command("shoporders.place", Ship, id="id", input="what", start="all")
            tell = Command("shoporders.tell", Ship, id="id", input="what", start="all", signal=Ship.told)
            async with (
                heard_on(server, but="shoporders.") as heard,
                sagakit.open_runtime(
                    server.url, sagas=[Ship()], namespace="shop", payload_codec=CODEC, commands=[start, tell]
                ) as runtime,
                open_participant(server.url, payments([]), keys=MemoryKeys(), payload_codec=CODEC, namespace="shop"),
            ):
                await field.send("place", {"id": "1", "what": SECRET})
                await field.send("tell", {"id": "1", "what": "told rosebud"})
                with trio.fail_after(60):
                    while True:
                        with suppress(UnknownSaga):
                            handle = await runtime.get(Ship, "1")
                            break
                        await trio.sleep(0.02)
                    assert await handle.outcome() == Completed("rosebud told rosebud charged rosebud")
    assert (said(heard, SECRET), files_with(tmp_path, SECRET)) == ([], [])  # the stream of the commands is in memory


def test_asyncio_programs_have_the_codec_too(server: Server, namespace: str) -> None:
    refunded: list[str] = []

    async def main() -> None:
        async with (
            sagakit.asyncio.open_runtime(
                server.url, sagas=[Ship()], payload_codec=CODEC, namespace=namespace
            ) as runtime,
            open_asyncio_participant(
                server.url, payments(refunded), keys=MemoryKeys(), payload_codec=CODEC, namespace=namespace
            ),
            sagakit.asyncio.open_client(server.url, payload_codec=CODEC, namespace=namespace) as client,
        ):
            handle = await client.start_with_signal(Ship, "1", SECRET, Ship.told, "told rosebud")
            assert await handle.outcome() == Completed("rosebud told rosebud charged rosebud")
            outcome = await (await runtime.get(Ship, "1")).outcome()
            assert outcome == Completed("rosebud told rosebud charged rosebud")
            record = await runtime.load(Ship, "1")
            assert SECRET.encode() not in msgspec.json.encode(record)

    under_asyncio(main)
