"""A worker waits, reports and continues when an operator deletes streams or records under it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from sagakit import Completed, Context, Saga, open_runtime, signal, step
from sagakit.errors import BadBucket, Deleted, Refused, StoreFull, Unavailable, UnknownSaga
from sagakit.jetstream.answers import ApiError, to_error
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link import Link
from sagakit.jetstream.puller import PAGE_BYTES
from sagakit.jetstream.store import open_jetstream
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.members import until_idle


async def api(link: Link, call: str, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(await link.request(f"$JS.API.{call}", msgspec.json.encode(request)))
    assert "error" not in answer, answer
    return answer


class Waits(Saga[str, str]):
    go = signal(str)

    @step(go, compensate=None)
    async def end(self, name: str, said: str, ctx: Context) -> str:
        return said

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Waits.end)


async def test_sagas_end_after_a_deleted_stream_is_made_again(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive is missing while sagas end: the persistence actor waits for it and serves other writes meanwhile."""
    async with (
        open_link(Connection(servers=(server.url,))) as link,
        open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime,
    ):
        stream = f"KV_{Names(namespace=namespace).archive[0]}"
        config = (await api(link, f"STREAM.INFO.{stream}"))["config"]
        await api(link, f"STREAM.DELETE.{stream}")
        assert await runtime.execute(BookTrip, None, Trip()) == Completed("tickets-Rome")
        with trio.fail_after(60):
            while "is missing" not in caplog.text:  # noqa: ASYNC110  # a log sets no event
                await trio.sleep(0.01)
        await api(link, f"STREAM.CREATE.{stream}", **config)
        with trio.fail_after(60):
            assert await runtime.execute(BookTrip, "two", Trip()) == Completed("tickets-Rome")
            await until_idle(runtime)


async def test_a_bucket_that_discards_old_messages_for_new_ones_is_refused(server: Server, namespace: str) -> None:
    names = Names(namespace=namespace)
    connection = Connection(servers=(server.url,))
    async with open_jetstream(connection, names=names), open_link(connection) as link:
        stream = f"KV_{names.state[0]}"
        config = (await api(link, f"STREAM.INFO.{stream}"))["config"]
        await api(link, f"STREAM.UPDATE.{stream}", **config | {"discard": "old", "max_msgs": 5})
    with pytest.RaisesGroup(pytest.RaisesExc(BadBucket, match="discarded"), flatten_subgroups=True):
        async with open_jetstream(connection, names=names):
            pass


async def test_a_scan_reads_many_large_records(server: Server, namespace: str) -> None:
    """The server hangs up when more than 64 MB are under way, so a page is bounded in bytes, too."""
    names = Names(namespace=namespace)
    count, size = 320, 240_000
    assert count * size > 64 * 2**20 > PAGE_BYTES
    async with open_jetstream(Connection(servers=(server.url,)), names=names) as store:
        for number in range(count):
            await store.state.create(f"Walk.{number:03}", bytes(size))
        with trio.fail_after(60):
            assert len(await store.state.keys("Walk")) == count
        assert store.reconnected_at < 0, "the server has not hung up"


async def test_an_id_whose_record_was_purged_can_be_started_again(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_runtime(server.url, sagas=[Waits()], namespace=namespace, passivate_after=0.01) as runtime:
        await runtime.start(Waits, "ghost", "x")
        with trio.fail_after(60):
            await until_idle(runtime)
        async with open_jetstream(Connection(servers=(server.url,)), names=Names(namespace=namespace)) as store:
            await store.state.purge("Waits.ghost")
        with trio.fail_after(60):
            handle = await runtime.start(Waits, "ghost", "x")
            await runtime.signal(Waits, "ghost", Waits.go, "hello")
            assert await handle.outcome() == Completed("hello")
    assert "its record is gone" in caplog.text


async def delete_from_outside(link: Link, bucket: str, key: str, verb: str) -> None:
    """Delete a record as `nats kv del` and `nats kv purge` do."""
    headers = {"KV-Operation": verb} | ({"Nats-Rollup": "sub"} if verb == "PURGE" else {})
    await link.request(f"$KV.{bucket}.{key}", b"", headers=header_block(headers))


VERBS = pytest.mark.parametrize("verb", ["DEL", "PURGE"])


@VERBS
async def test_an_id_whose_record_was_deleted_from_outside_is_reported_and_is_free_after_a_delete(
    server: Server, namespace: str, verb: str
) -> None:
    state = Names(namespace=namespace).state[0]
    async with (
        open_link(Connection(servers=(server.url,))) as link,
        open_runtime(server.url, sagas=[Waits()], namespace=namespace, passivate_after=0.01) as runtime,
    ):
        await runtime.start(Waits, "ghost", "x")
        with trio.fail_after(60):
            await until_idle(runtime)
        await delete_from_outside(link, state, "Waits.ghost", verb)
        said = rf"deleted from outside, with `nats kv {verb.lower()}` at 20\d\d-.*`Runtime.delete`"
        with pytest.raises(UnknownSaga, match=said):
            await runtime.get(Waits, "ghost")
        with pytest.raises(Deleted, match=said):
            await runtime.start(Waits, "ghost", "x")
        await runtime.delete(Waits, "ghost")
        handle = await runtime.start(Waits, "ghost", "x")
        await runtime.signal(Waits, "ghost", Waits.go, "hello")
        assert await handle.outcome() == Completed("hello")
        with pytest.raises(UnknownSaga, match="no saga is stored"):
            await runtime.delete(Waits, "nobody")


@VERBS
async def test_a_running_saga_whose_record_is_deleted_from_outside_stops_and_is_reported(
    server: Server, namespace: str, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = Names(namespace=namespace).state[0]
    go_on = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await go_on.wait()

    saga = BookTrip(hook)
    async with (
        open_link(Connection(servers=(server.url,))) as link,
        open_runtime(server.url, sagas=[saga], namespace=namespace) as runtime,
    ):
        await runtime.start(BookTrip, "one", Trip())
        await delete_from_outside(link, state, "BookTrip.one", verb)
        go_on.set()
        with trio.fail_after(60):
            await until_idle(runtime)
        [told] = [record for record in caplog.records if "deleted from outside" in record.message]
        assert told.levelname == "WARNING"
        assert f"`nats kv {verb.lower()}`" in told.message
        assert "nothing of it is undone" in told.message
        assert saga.names == ["hotel"]
        await runtime.delete(BookTrip, "one")
        assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")


async def test_a_delete_marker_in_the_archive_does_not_keep_a_saga_from_ending(server: Server, namespace: str) -> None:
    names = Names(namespace=namespace)
    async with (
        open_link(Connection(servers=(server.url,))) as link,
        open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime,
    ):
        await delete_from_outside(link, names.archive[0], "BookTrip.one", "DEL")
        await runtime.execute(BookTrip, "one", Trip())
        with trio.fail_after(60):
            await until_idle(runtime)
        assert [info.saga_id for info in (await runtime.list(status="completed")).items] == ["one"]


@pytest.mark.parametrize(
    ("err_code", "kind"),
    [(10002, StoreFull), (10028, StoreFull), (10158, Unavailable), (10167, Unavailable), (10059, Refused)],
)
def test_a_temporary_refusal_of_the_server_is_waited_for(err_code: int, kind: type[Exception]) -> None:
    """An exhausted quota, too many requests and a duplicate under way pass; a missing stream does not."""
    assert isinstance(to_error(ApiError(400, err_code, "so it says"), key="k", expected=None), kind)
