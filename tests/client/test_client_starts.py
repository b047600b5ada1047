"""Starts and messages of a client without a worker: when they return, why they are refused, plain names and JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from sagakit import Client, Completed, Failed
from sagakit.errors import (
    AlreadyStarted,
    InvalidInput,
    InvalidName,
    NotAllowed,
    UnknownSaga,
)
from sagakit.store.ports import WireMessage

from tests.client.conftest import Body, OnClient
from tests.client.faces import Buy, Order, worker
from tests.servers import Server


def test_a_start_returns_when_it_is_durable_started_or_ended(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        await client.start(Buy, "durable", Order(asks=True))
        await client.start(Buy, "started", Order(asks=True), wait="started")
        assert [info.id for info in (await client.list(where='id = "started"')).items] == ["started"]
        await client.start(Buy, "en.ded /1", Order(), wait="ended")
        assert (await client.load(Buy, "en.ded /1")).status == "completed"
        with pytest.raises(InvalidInput, match="durable, started, step:NAME, ended"):
            await client.start(Buy, "x", Order(), wait="begun")

    on_client(body)


def test_a_start_returns_when_a_step_is_done_skipped_or_cannot_be_any_more(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        said = list[str]()

        async def start() -> None:
            await client.start(Buy, "asks", Order(asks=True), wait="step:approved")
            said.append("passed")

        async def approve() -> None:
            await client.start(Buy, "asks", Order(asks=True), wait="step:reserve")
            for _ in range(10):
                await client.load(Buy, "asks")
            said.append("approved")
            await client.signal(Buy, "asks", Buy.approved, "ann")

        await client._wire.together(start, approve)
        assert said == ["approved", "passed"]
        await client.start("Buy", "unasked", {}, wait="step:approved")
        assert (await client.load(Buy, "unasked")).steps["approved"].state == "skipped"
        await client.start(Buy, "refused", Order(refused=True), wait="step:charge")
        assert (await client.load(Buy, "refused")).status in ("compensating", "failed")
        with pytest.raises(InvalidInput, match="no step 'chrage'; did you mean 'charge'"):
            await client.start(Buy, "never", Order(), wait="step:chrage")
        assert (await client.list(where='id = "never"')).items == [], "it was started all the same"
        with pytest.raises(InvalidInput, match="no step 'chrage'; did you mean 'charge'"):
            await client.start("Buy", "named", {}, wait="step:chrage")

    on_client(body)


def test_what_follows_a_durable_start_waits_for_the_saga(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        for number in range(20):
            await client.start(Buy, f"{number}", Order(number, asks=True))
            await client.signal(Buy, f"{number}", Buy.approved, "ann")
            assert await (await client.get(Buy, f"{number}")).outcome() == Completed(f"{number} ann")

    on_client(body)


def test_a_start_that_no_worker_takes_is_durable_and_goes_on_when_one_comes(
    face: OnClient, server: Server, namespace: str
) -> None:
    with worker(server, namespace):  # it makes the buckets, and leaves
        pass

    async def send(client: Client) -> None:
        await client.start(Buy, "one", Order(7), message_id="m")

    async def send_again(client: Client) -> None:
        handle = await client.start(Buy, "one", Order(7), message_id="m")
        assert await handle.outcome() == Completed("7 unasked")

    face(server.url, send, namespace=namespace)
    with worker(server, namespace):
        face(server.url, send_again, namespace=namespace)


def test_why_a_start_was_refused_reaches_the_caller_each_time(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        for _ in range(2):  # the second one is a copy, which the server drops
            with pytest.raises(InvalidInput, match="Expected `object`, got `str`"):
                await client.start("Buy", "wrong", "text", wait="started", message_id="m")
        handle = await client.start("Buy", "later", "text")
        for _ in range(2):
            with pytest.raises(InvalidInput, match=r"Buy\.later was not started: .*Expected"):
                await handle.outcome()
        with pytest.raises(InvalidInput, match="Expected"):
            await client.load("Buy", "later")

    on_client(body)


def test_two_clients_that_start_an_id_with_different_inputs_get_one_saga(on_client: Callable[[Body], None]) -> None:
    """P10."""

    async def body(client: Client) -> None:
        results: list[object] = []

        async def start(number: int) -> None:
            try:
                results.append(await (await client.start(Buy, "one", Order(number))).outcome())
            except AlreadyStarted as error:
                results.append(type(error))

        await client._wire.together(*(partial(start, number) for number in range(5)))
        assert results.count(AlreadyStarted) == 4
        assert sum(isinstance(result, Completed) for result in results) == 1

    on_client(body)


def test_each_call_is_one_message_which_names_the_sagas_run(face: OnClient, server: Server, namespace: str) -> None:
    """A terminate that is still in the inbox must not reach the next life of the id."""

    async def body(client: Client) -> None:
        heard: list[tuple[str, dict[str, Any]]] = []

        def take(message: WireMessage) -> None:
            kind = message.subject.removeprefix(f"{namespace}.").partition(".")[0]
            heard.append((kind, msgspec.json.decode(message.payload)))

        await client._wire.hear(f"{namespace}.sagain.Buy.>", take)
        await client._wire.hear(f"{namespace}.sagaop.Buy.>", take)
        handle = await client.start(Buy, "one", Order(7, asks=True), wait="started")
        run = (await client.load(Buy, "one")).run
        await client.signal(Buy, "one", Buy.approved, "ann", message_id="m")
        await handle.outcome()
        with pytest.raises(NotAllowed):
            await handle.terminate("too late")
        two = await client.start(Buy, "two", Order(8, asks=True), wait="started")
        await two.terminate("fraud", by="ann")
        told = [(kind, message["kind"], message.get("run")) for kind, message in heard]
        assert told == [
            ("sagain", "start", None),
            ("sagain", "signal", run),
            ("sagain", "start", None),
            ("sagaop", "terminate", (await client.load(Buy, "two")).run),
        ], "an ended saga's verdict is known without a message"

    with worker(server, namespace):
        face(server.url, body, namespace=namespace)


def test_a_tool_without_the_class_uses_names_and_json(
    on_client: Callable[[Body], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagakit.client.messenger.UNTOLD_FOR", 0.3)

    async def body(client: Client) -> None:
        handle = await client.start("Buy", "one", {"number": 7, "asks": True})
        await client.signal("Buy", "one", "approved", "ann")
        assert await handle.outcome() == Completed("7 ann")
        assert (await client.describe("Buy", "one")).input["number"] == 7
        assert len((await client.history("Buy", "one")).events) == 6
        again = await client.start("Buy", "one", msgspec.Raw(b'{"number": 7, "asks":true}'))
        assert await again.result() == "7 ann"
        with pytest.raises(AlreadyStarted):
            await client.start("Buy", "one", {"number": 8}, wait="started")
        assert await client.execute("Buy", "two", {"refused": True}) == Failed(
            cause="rejected", code="sold out", compensated=(), step="reserve", detail={"number": 1}
        )
        stuck = await client.start("Buy", "three", {"breaks": True})
        assert await stuck.wait(or_stuck=True) == "stuck"
        await stuck.complete_step("charge", "by hand", "seen")
        assert await stuck.result() == "by hand"
        assert [info.id for info in (await client.list(type="Buy", status="failed")).items] == ["two"]

    on_client(body)


def test_names_and_values_of_a_tool_are_checked(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        with pytest.raises(InvalidName):
            await client.start("no.name", "one", {})
        with pytest.raises(InvalidInput, match="not JSON"):
            await client.start("Buy", "one", msgspec.Raw(b"{"))
        with pytest.raises(InvalidInput, match="not JSON"):
            await client.start("Buy", "one", object())
        with pytest.raises(InvalidInput, match="class itself, not an instance"):
            await client.start(Buy(), "one", Order())  # type: ignore[call-overload]
        with pytest.raises(UnknownSaga):
            await client.get("Buy", "unknown")

    on_client(body)
