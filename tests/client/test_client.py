"""The client without a worker: its waits, the reasons of refusals, plain names, events, outages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sagakit import Client, Completed, Failed
from sagakit.errors import (
    AlreadyStarted,
    CannotConnect,
    InvalidConfig,
    InvalidInput,
    InvalidName,
    LayoutMissing,
    NotAllowed,
    NoWorker,
    RuntimeClosed,
    UnknownSaga,
    WrongContext,
)
from sagakit.store.ports import WireMessage

from tests.client.faces import CLIENTS, Buy, Elsewhere, Order, worker
from tests.servers import Server, free_port, running_server

Body = Callable[[Client], Awaitable[None]]
OnClient = Callable[..., None]


@pytest.fixture(params=CLIENTS)
def face(request: pytest.FixtureRequest) -> OnClient:
    """Runs a test on a client, under asyncio or under trio."""
    return CLIENTS[request.param]


@pytest.fixture
def on_client(face: OnClient, server: Server, namespace: str) -> Callable[[Body], None]:
    """Runs a test on a client, with a worker beside it."""

    def run(body: Body) -> None:
        with worker(server, namespace):
            face(server.url, body, namespace=namespace)

    return run


# -------------------------------------------------------------------- starting


def test_a_start_returns_when_it_is_durable_started_or_ended(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        await client.start(Buy, "durable", Order(asks=True))
        await client.start(Buy, "started", Order(asks=True), wait="started")
        assert [info.id for info in (await client.list(where='id = "started"')).items] == ["started"]
        await client.start(Buy, "ended", Order(), wait="ended")
        assert (await client.load(Buy, "ended")).status == "completed"
        with pytest.raises(InvalidInput, match="durable, started, ended"):
            await client.start(Buy, "x", Order(), wait="begun")  # type: ignore[call-overload]

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


# ----------------------------------------------------------- without the class


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


# --------------------------------------------------------------------- waiting


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
                await client._wire.sleep(0.01)
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


# --------------------------------------------------------------------- outages


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


# ---------------------------------------------------------------------- events


def test_the_events_of_one_saga_of_a_type_and_of_all_are_watched(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        await client.execute(Buy, "one", Order(1))
        await client.execute(Buy, "two", Order(2, refused=True))
        last = ("saga.Buy.failed", "two")
        assert (await seen(client, None, None, "start", last))[0] == ("saga.Buy.started", "one")
        assert len(await seen(client, Buy, None, "start", last)) == 7
        assert await seen(client, "Buy", "two", "start", last) == [
            ("saga.Buy.started", "two"), ("saga.Buy.compensating", "two"), last,
        ]  # fmt: skip
        with pytest.raises(InvalidInput, match="which type"):
            client.watch(id="one")
        for wrong in ("now", "-1", "1,2"):
            with pytest.raises(InvalidInput, match="position"):
                async with client.watch(Buy, after=wrong):
                    pass

    on_client(body)


async def seen(client: Client, saga: Any, id: str | None, after: str, last: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the events of a watch, up to the last one."""
    found: list[tuple[str, str]] = []
    async with client.watch(saga, id, after=after) as events:
        async for event in events:
            found.append((event.type, event.saga_id))
            if found[-1] == last:
                return found
    raise AssertionError("a watch has no end")


def test_a_watch_begins_now_and_goes_on_from_a_position(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        await client.execute(Buy, "before", Order(1))
        await seen(client, Buy, None, "start", ("saga.Buy.completed", "before"))
        async with client.watch(Buy) as events:
            await client.execute(Buy, "one", Order(1))
            first = await anext(events)
            assert (first.type, first.saga_id, first.event.sequence) == ("saga.Buy.started", "one", 1)
        found: list[int] = []
        async with client.watch(Buy, after=first.position) as events:
            async for event in events:
                found.append(event.event.sequence)
                if event.type == "saga.Buy.completed":
                    break
        assert found == [2, 3, 4]

    on_client(body)


def test_a_watch_goes_on_after_an_outage_without_a_gap_or_a_copy(face: OnClient, tmp_path: Path) -> None:
    with running_server(tmp_path) as server, worker(server, "", shards=2):

        async def body(client: Client) -> None:
            found: dict[str, list[int]] = {}

            async def watch() -> None:
                async with client.watch(Buy, after="start") as events:
                    async for event in events:
                        found.setdefault(event.saga_id, []).append(event.event.sequence)
                        if sum(len(one) for one in found.values()) == 4 * 20:
                            return

            async def run() -> None:
                for number in range(20):
                    if number == 10:
                        server.kill()
                        server.start()
                    await client.execute(Buy, f"{number}", Order(number))

            await client._wire.together(watch, run)
            assert found == {f"{number}": [1, 2, 3, 4] for number in range(20)}

        face(server.url, body)


# --------------------------------------------------------------------- opening


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory:", "in that process alone"),
        ("embedded:", "starts no server"),
        ("http://x", "nats://host:port"),
        (7, "nats://host:port"),
        ("nats://h?x=1", "domain"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(face: OnClient, url: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        face(url, never)


async def never(client: Client) -> None:
    raise AssertionError("it is not opened")


def test_options_of_a_worker_and_misspelt_ones_are_refused(face: OnClient, server: Server) -> None:
    for option in ("max_active", "namespaces"):
        with pytest.raises(InvalidConfig, match=option):
            face(server.url, never, **{option: 1})


def test_missing_buckets_say_what_to_run(face: OnClient, server: Server, namespace: str) -> None:
    says = (
        rf"no worker has ever run on this server in the namespace '{namespace}': the stream "
        rf"KV_{namespace}_SAGA_META does not exist; correct the namespace or the URL, open a worker there once, or run "
        "`sagakit setup`"
    )
    with pytest.raises(LayoutMissing, match=says):
        face(server.url, never, namespace=namespace)


def test_no_server_is_said(face: OnClient) -> None:
    with pytest.raises(CannotConnect, match="start one there"):
        face(f"nats://127.0.0.1:{free_port()}", never, connect_timeout=0.3)


def test_an_error_of_the_body_is_raised_as_it_is(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        raise NotAllowed("by the body")

    with pytest.raises(NotAllowed, match="by the body"):
        on_client(body)


def test_a_client_belongs_to_the_loop_that_opened_it(face: OnClient, server: Server, namespace: str) -> None:
    kept: list[Client] = []

    async def keep(client: Client) -> None:
        kept.append(client)

    async def use(client: Client) -> None:
        with pytest.raises(WrongContext):
            await kept[0].load(Buy, "one")

    with worker(server, namespace):
        face(server.url, keep, namespace=namespace)
        for other in CLIENTS.values():
            other(server.url, use, namespace=namespace)


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
