"""Waits of a client without a worker: for one and for many, without anybody to run the saga, and through outages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sagakit import Client, Failed
from sagakit.client import changes, fleet_view, messenger
from sagakit.errors import InvalidInput, NoWorker, RuntimeClosed, UnknownSaga

from tests.client.conftest import Body, OnClient
from tests.client.faces import Buy, Elsewhere, Order, worker
from tests.servers import Server, running_server


def test_many_tasks_wait_for_many_sagas_and_for_one(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        outcomes: list[Any] = []

        async def wait(number: int) -> None:
            handle = await client.start(Buy, f"{number % 50}", Order(number % 50, asks=True))
            outcomes.append(await handle.outcome())

        async def approve(number: int) -> None:
            await client.start(Buy, f"{number}", Order(number, asks=True))
            await client.signal(Buy, f"{number}", Buy.approved, "ann", message_id="m")

        await client._wire.together(
            *(partial(wait, number) for number in range(200)), *(partial(approve, number) for number in range(50))
        )
        assert sorted(outcome.output for outcome in outcomes) == sorted(f"{n % 50} ann" for n in range(200))
        assert client._changes._changes == {}, "nothing is heard any more"

    on_client(body)


def test_wait_any_returns_the_first_that_ends(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        handles = [await client.start(Buy, f"{number}", Order(number, asks=True)) for number in range(3)]
        await client.signal(Buy, "1", Buy.approved, "ann")
        assert (await client.wait_any(*handles)).id == "1"
        with pytest.raises(InvalidInput, match="wait forever"):
            await client.wait_any()

    on_client(body)


@pytest.mark.parametrize("wait", ["started", "ended"])
def test_a_start_of_a_type_that_no_worker_has_warns_once_while_it_waits(
    on_client: Callable[[Body], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wait: str
) -> None:
    monkeypatch.setattr(messenger, "SILENT_FOR", 0.0)
    monkeypatch.setattr(changes, "NET", 0.05)
    monkeypatch.setattr(fleet_view, "LOOK_AGAIN", 0.01)

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "sagakit.client"]

    async def body(client: Client) -> None:
        asked: list[str] = []
        tell = client.fleet.tell_unserved

        async def counted(saga_type: str) -> None:
            asked.append(saga_type)
            await tell(saga_type)

        monkeypatch.setattr(client.fleet, "tell_unserved", counted)

        async def start() -> None:
            await client.start("Bay", "one", 1, wait=wait)

        async def end() -> None:
            await client.execute(Buy, "one", Order(1))  # its type has a worker
            while not warnings() or asked.count("Bay") < 5:
                await client._wire.sleep(0.01)  # nothing tells that the other task has asked again
            raise _Enough

        with pytest.raises(_Enough):
            await client._wire.together(start, end)

    on_client(body)
    assert warnings() == [
        "no live worker has the type Bay: the start waits in the inbox until one comes; did you mean 'Buy'?"
    ]


class _Enough(Exception):
    """The end of a wait that nothing else would end."""


def test_a_wait_ends_when_the_client_is_closed(face: OnClient, server: Server, namespace: str) -> None:
    ended: list[str] = []

    async def body(client: Client) -> None:
        handle = await client.start(Buy, "one", Order(asks=True), wait="started")

        async def wait() -> None:
            with pytest.raises(RuntimeClosed):
                await handle.outcome()
            ended.append("outcome")

        async def close() -> None:
            while not client._changes._changes:
                await client._wire.sleep(0.01)  # nothing tells that the other tasks wait by now
            client.close()

        await client._wire.together(wait, close)
        for call in (client.load(Buy, "one"), handle.wait(), client.start(Buy, "two", Order()), client.check()):
            with pytest.raises(RuntimeClosed):
                await call
        with pytest.raises(RuntimeClosed):
            client.watch(Buy)

    with worker(server, namespace):
        face(server.url, body, namespace=namespace)
    assert ended == ["outcome"]


def test_a_saga_of_another_version_has_no_worker(face: OnClient, server: Server, namespace: str) -> None:
    async def start(client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="started")

    async def wait(client: Client) -> None:
        handle = await client.get(Buy, "one")
        for call in (handle.outcome(), handle.cancel()):
            with pytest.raises(NoWorker, match="version 2"):
                await call
        assert "version 2" in (await handle.describe()).note

    with worker(server, namespace):
        face(server.url, start, namespace=namespace)
    with worker(server, namespace, version_two()):
        face(server.url, wait, namespace=namespace)


def version_two() -> Any:
    from sagakit import Context, Saga, step

    class Buy2(Saga[Order, str], name="Buy", version=2):
        @step(compensate=None)
        async def only(self, order: Order, ctx: Context) -> str:
            return "two"

        def output(self, input: Order, ctx: Context) -> str:
            return "two"

    return Buy2()


def test_waits_and_calls_go_on_after_an_outage(face: OnClient, tmp_path: Path) -> None:
    with running_server(tmp_path) as server, worker(server, ""):

        async def body(client: Client) -> None:
            handle = await client.start(Buy, "one", Order(7, asks=True), wait="started")
            outcomes: list[Any] = []

            async def wait() -> None:
                outcomes.append(await handle.outcome())

            async def cut() -> None:
                server.kill()
                server.start()
                await client.signal(Buy, "one", Buy.approved, "ann")
                outcomes.append(await client.execute(Buy, "two", Order(8)))

            await client._wire.together(wait, cut)
            assert sorted(outcome.output for outcome in outcomes) == ["7 ann", "8 unasked"]

        face(server.url, body)


def test_the_net_finds_an_end_whose_hint_was_lost(
    face: OnClient, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagakit.client.changes.NET", 0.2)
    monkeypatch.setattr("sagakit.client.changes.HeardKey.take", lambda self, message: None)

    async def body(client: Client) -> None:
        handle = await client.start(Buy, "one", Order(7, asks=True))
        await handle.cancel()
        assert isinstance(await handle.outcome(), Failed)

    with worker(server, namespace):
        face(server.url, body, namespace=namespace)


def test_a_saga_without_any_worker_of_its_type_waits(face: OnClient, server: Server, namespace: str) -> None:
    """The first worker may be about to be deployed; a message waits for it ten minutes."""

    async def body(client: Client) -> None:
        handle = await client.start(Elsewhere, "one", 1)
        waited = client._wire.event()
        with pytest.raises(UnknownSaga):
            await client._lookup.find(handle.key)
        assert not await client._wire.within(0.01, waited)

    with worker(server, namespace):
        face(server.url, body, namespace=namespace)
