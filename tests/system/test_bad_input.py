"""Bad input gives a clear error and changes nothing."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
import trio
from sagakit import (
    AlreadyStarted,
    CallerError,
    Completed,
    Config,
    Context,
    DefinitionError,
    Failed,
    NotAllowed,
    Saga,
    TooLate,
    UnknownSaga,
    errors,
    open_runtime,
    step,
)
from sagakit.jetstream.ports import free_port
from sagakit.naming import check_name
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey, decode_id

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.servers import Server, running_server
from tests.system.members import member

ODD_IDS = [" a ", ".", "*", ">", "a.b", "$KV.x", "=", "=2E", "ü", "\x00", "a\nb", "日本", "a/b c", "x" * 500]


@pytest.mark.parametrize("name", ["a.b", "a*", ">", "1a", "", "a b", "ä", "x" * 65])
def test_a_name_that_would_be_a_wildcard_or_two_tokens_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidName, match="one token"):
        check_name(name, what="the saga")


async def test_any_string_is_an_id(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        for odd in ODD_IDS:
            assert await runtime.execute(BookTrip, odd, Trip()) == Completed("tickets-Rome")
            assert (await runtime.load(BookTrip, odd)).saga_id == odd
    assert len({str(SagaKey("T", odd)) for odd in ODD_IDS}) == len(ODD_IDS)
    assert all(decode_id(str(SagaKey("T", odd)).removeprefix("T.")) == odd for odd in ODD_IDS)


@pytest.mark.parametrize("id", ["", " ", "\n\t", "\u3000"])
async def test_a_blank_id_is_refused(autojump_clock: object, id: str) -> None:
    says = "is blank: give each saga an id of its own, such as an order number, or id=None to have one made up"
    async with member(MemoryServer(), saga := BookTrip()) as running:
        runtime = running.runtime
        for asked in (
            runtime.start(BookTrip, id, Trip()),
            runtime.execute(BookTrip, id, Trip()),
            runtime.get(BookTrip, id),
            runtime.load(BookTrip, id),
            runtime.history(BookTrip, id),
            runtime.describe(BookTrip, id),
            runtime.compensate(BookTrip, id),
            runtime.delete(BookTrip, id),
        ):
            with pytest.raises(errors.InvalidId, match=says):
                await asked
        assert saga.calls == []
        assert (await runtime.list()).items == []


async def test_an_id_that_is_too_long_is_refused(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        with pytest.raises(errors.InvalidId, match="shorter"):
            await runtime.start(BookTrip, "ü" * 200, Trip())
        with pytest.raises(errors.InvalidId, match="not valid Unicode text"):
            await runtime.start(BookTrip, "\ud800", Trip())


async def test_an_input_that_its_type_refuses_is_an_error(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        wrong: Any = {"city": 7}
        with pytest.raises(errors.InvalidInput, match=r"Expected `str`, got `int` - at `\$.city`"):
            await runtime.start(BookTrip, "1", wrong)
        with pytest.raises(UnknownSaga):
            await runtime.get(BookTrip, "1")


async def test_an_input_that_is_too_large_is_an_error(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        with pytest.raises(errors.InputTooLarge, match="pass a reference"):
            await runtime.start(BookTrip, "1", Trip(city="x" * 400_000))


@pytest.mark.parametrize("where", ["memory:", "server"])
async def test_a_closed_runtime_refuses_every_call(where: str, server: Server, namespace: str) -> None:
    url = server.url if where == "server" else where
    async with open_runtime(url, sagas=[BookTrip()], namespace=namespace) as runtime:
        handle = await runtime.start(BookTrip, "1", Trip())
        await handle.outcome()
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: runtime.start(BookTrip, "2", Trip()),
        lambda: runtime.start(BookTrip, None, Trip()),
        lambda: runtime.get(BookTrip, "1"),
        lambda: runtime.list(),
        lambda: runtime.history(BookTrip, "1"),
        lambda: runtime.scan(),
        lambda: handle.outcome(),
        lambda: record_of(handle),
        lambda: handle.cancel(),
    ]
    for call in calls:
        with trio.fail_after(60), pytest.raises(errors.RuntimeClosed, match="closed"):
            await call()


async def test_a_call_in_progress_ends_when_the_runtime_closes(server: Server, namespace: str) -> None:
    ends: list[str] = []

    async def looks() -> None:
        try:
            while True:
                await runtime.get(BookTrip, "1")
        except errors.RuntimeClosed:
            ends.append("closed")

    with trio.fail_after(60):
        async with (
            trio.open_nursery() as nursery,
            open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime,
        ):
            await runtime.execute(BookTrip, "1", Trip())
            for _ in range(5):
                nursery.start_soon(looks)
            await trio.lowlevel.checkpoint()
    assert ends == ["closed"] * 5


async def test_a_listing_with_unknown_criteria_is_refused() -> None:
    async with open_runtime("memory:", sagas=[BookTrip()]) as runtime:
        wrong: Any = "Stuck"
        with pytest.raises(errors.InvalidInput, match=r"status='Stuck': one of delayed, running, .*stuck"):
            await runtime.list(status=wrong)
        names: Any = ["tenant"]
        with pytest.raises(errors.InvalidInput, match="a mapping of names"):
            await runtime.list(attributes=names)


async def test_p10_a_start_of_the_same_id_with_another_input_is_an_error(server: Server, namespace: str) -> None:
    saga = BookTrip()
    async with open_runtime(server.url, sagas=[saga], namespace=namespace) as runtime:
        first = await runtime.start(BookTrip, "1", Trip())
        with pytest.raises(AlreadyStarted, match="different input"):
            await runtime.start(BookTrip, "1", Trip(city="Oslo"))
        await first.outcome()
        again = await runtime.start(BookTrip, "1", Trip())
        assert await again.outcome() == Completed("tickets-Rome")
    async with open_runtime(server.url, sagas=[saga], namespace=namespace) as runtime:
        assert await runtime.execute(BookTrip, "1", Trip()) == Completed("tickets-Rome")
        with pytest.raises(AlreadyStarted, match="different input"):
            await runtime.start(BookTrip, "1", Trip(city="Oslo"))
    assert len(saga.calls) == 3


async def test_p11_a_corrupt_record_and_a_newer_one_are_reported_and_left_alone(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        await runtime.execute(BookTrip, "fine", Trip())
    bad = {"corrupt": b"{not json", "newer": b'{"schema": 99, "saga_type": "BookTrip"}'}
    await trio.to_thread.run_sync(_put_raw, server.url, namespace, bad)
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        await runtime.scan()
        assert "BookTrip.corrupt: not a record of this saga" in caplog.text
        assert "schema is 99" in caplog.text
        with pytest.raises(errors.Undecodable):
            await runtime.start(BookTrip, "corrupt", Trip())
        with pytest.raises(errors.NewerSchema):
            await runtime.load(BookTrip, "newer")
        assert await runtime.execute(BookTrip, "beside", Trip()) == Completed("tickets-Rome")
    assert await trio.to_thread.run_sync(_get_raw, server.url, namespace, list(bad)) == bad


def _put_raw(url: str, namespace: str, values: dict[str, bytes]) -> None:
    _in_asyncio(url, namespace, lambda kv: [kv.put(f"BookTrip.{key}", value) for key, value in values.items()])


def _get_raw(url: str, namespace: str, keys: list[str]) -> dict[str, bytes]:
    entries = _in_asyncio(url, namespace, lambda kv: [kv.get(f"BookTrip.{key}") for key in keys])
    return {key: entry.value for key, entry in zip(keys, entries, strict=True)}


def _in_asyncio(url: str, namespace: str, make: Callable[[Any], list[Any]]) -> list[Any]:
    import asyncio

    async def main() -> list[Any]:
        nc = await nats.connect(url)
        kv = await nc.jetstream().key_value(f"{namespace}_SAGA_STATE")
        found = [await one for one in make(kv)]
        await nc.close()
        return found

    with closing(asyncio.SelectorEventLoop()) as loop:  # whatever trio-asyncio has made of `asyncio.run`
        return list(loop.run_until_complete(main()))


class Boast(Saga[int]):
    """A saga whose step returns more than a record can hold."""

    @step
    async def talk(self, size: int, ctx: Context) -> str:
        return "x" * size

    @talk.compensate
    async def unsay(self, size: int, said: str | None, ctx: Context) -> None:
        assert said is None, "a result that was too large to keep cannot be given to the compensation"


async def test_p3_a_result_over_max_payload_is_unknown_and_undone(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[Boast()], namespace=namespace) as runtime:
        outcome = await runtime.execute(Boast, "1", 2_000_000)
        assert isinstance(outcome, Failed)
        assert outcome.cause == "exhausted"
        assert "result too large" in (outcome.reason or "")
        assert outcome.compensated == ("talk",)


async def test_a_cancel_after_the_end_and_a_delete_of_a_live_saga_are_refused(server: Server, namespace: str) -> None:
    release = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await release.wait()

    async with open_runtime(server.url, sagas=[BookTrip(hook)], namespace=namespace) as runtime:
        handle = await runtime.start(BookTrip, "1", Trip())
        with pytest.raises(NotAllowed, match="unfinished"):
            await runtime.delete(BookTrip, "1")
        with pytest.raises(NotAllowed, match="not stuck"):
            await handle.retry()
        release.set()
        await handle.outcome()
        with pytest.raises(TooLate):
            await handle.cancel()
    async with open_runtime(server.url, sagas=[BookTrip(hook)], namespace=namespace) as runtime:
        await runtime.delete(BookTrip, "1")
        with pytest.raises(UnknownSaga):
            await runtime.get(BookTrip, "1")
        assert await runtime.execute(BookTrip, "1", Trip(city="Oslo")) == Completed("tickets-Oslo")


async def opened(url: str, **options: Any) -> None:
    async with open_runtime(url, sagas=[BookTrip()], connect_timeout=1.0, **options):
        raise AssertionError("it opened")


async def test_no_server() -> None:
    with pytest.raises(errors.CannotConnect, match=r"no NATS server answered.*; start one there, or correct the URL"):
        await opened(f"nats://127.0.0.1:{free_port()}")


async def test_an_open_with_wrong_credentials_fails(tmp_path: Path) -> None:
    with running_server(tmp_path, config='authorization { user: "a", password: "b" }') as server:
        with pytest.raises(errors.CannotConnect, match=r"(?i)authorization"):
            await opened(server.url, user="a", password="wrong")
        async with open_runtime(server.url, sagas=[BookTrip()], user="a", password="b") as runtime:
            assert await runtime.execute(BookTrip, "1", Trip()) == Completed("tickets-Rome")


async def test_an_open_without_jetstream_fails(tmp_path: Path) -> None:
    with running_server(tmp_path, jetstream=None) as server, pytest.raises(errors.JetStreamOff, match="start it with"):
        await opened(server.url)


async def test_an_open_on_a_server_older_than_2_11_fails() -> None:
    """The server answers as version 2.10 does: its account information has no API level."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_old_server, trio.SocketListener(trio.socket.from_stdlib_socket(listener)))
        with pytest.raises(errors.ServerTooOld, match=r"2\.10\.25; sagakit needs 2\.11"):
            await opened(f"nats://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()


async def _old_server(listener: trio.SocketListener) -> None:
    info = {
        "server_id": "X",
        "version": "2.10.25",
        "proto": 1,
        "max_payload": 2**20,
        "headers": True,
        "jetstream": True,
    }

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"INFO " + msgspec.json.encode(info) + b"\r\n")
        rest = b""
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\r\n")
            for line in lines:
                words = line.split()
                if words[:1] == [b"PING"]:
                    await stream.send_all(b"PONG\r\n")
                if words[:2] == [b"PUB", b"$JS.API.INFO"]:
                    answer = b'{"api":{"total":1,"errors":0}}'
                    await stream.send_all(b"MSG %s 1 %d\r\n%s\r\n" % (words[2], len(answer), answer))

    await trio.serve_listeners(serve, [listener])


async def test_a_full_bucket_refuses_a_start_and_changes_nothing(server: Server, namespace: str) -> None:
    hold = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await hold.wait()

    async with open_runtime(
        server.url, sagas=[BookTrip(hook)], namespace=namespace, state_max_bytes=40_000, drain_timeout=0.0
    ) as runtime:

        async def start_until_full() -> None:
            for number in range(100):
                await runtime.start(BookTrip, f"s{number}", Trip(city="x" * 2000))

        with pytest.raises(errors.StoreFull, match="raise the limit"):
            await start_until_full()
        started = (await runtime.list(status="running")).items
        assert 5 < len(started) < 20
        assert len(await runtime.list_active()) == len(started)


async def test_a_bucket_with_a_ttl_or_other_shards_is_refused(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace):
        pass
    with pytest.raises(errors.BadBucket, match="shards=1, this runtime says shards=2"):
        await opened(server.url, namespace=namespace, shards=2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"no_such": 1}, "no such option: no_such"),
        ({"shards": 0}, "shards=0"),
        ({"ack_timeout": "soon"}, "ack_timeout"),
        ({"namespace": "a.b"}, "namespace"),
        ({"archive_ttl": 10.0, "marker_ttl": 20.0}, "must exceed marker_ttl"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CallerError, match=says):
        Config.of(options)


def test_options_are_read_from_the_environment_and_from_toml(tmp_path: Path) -> None:
    assert Config.from_env({"SAGAKIT_SHARDS": "4", "SAGAKIT_NAMESPACE": "shop", "OTHER": "x"}).shards == 4
    (tmp_path / "sagakit.toml").write_text('[sagakit]\nlease_ttl = 20.0\nnamespace = "shop"\n')
    assert Config.from_toml(tmp_path / "sagakit.toml", shards=2) == Config(lease_ttl=20.0, namespace="shop", shards=2)
    with pytest.raises(errors.InvalidConfig, match="shards"):
        Config.from_env({"SAGAKIT_SHARDS": "many"})


async def test_a_wrong_url_and_a_class_in_place_of_an_instance_are_refused() -> None:
    with pytest.raises(errors.InvalidConfig, match="write nats://"):
        await opened("redis://x")
    cls: Any = BookTrip
    with pytest.raises(DefinitionError, match="takes instances"):
        async with open_runtime("memory:", sagas=[cls]):
            pass
    async with open_runtime("memory:", sagas=[]) as runtime:
        with pytest.raises(errors.NotRegistered, match="add an instance"):
            await runtime.start(BookTrip, "1", Trip())
