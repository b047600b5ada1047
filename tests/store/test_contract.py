"""The contract of the ports: one suite, run on the real server and on the fake, with one shard and with several."""

from __future__ import annotations

import time

import pytest
import trio
from sagakit.errors import Ambiguous, Conflict, NoResponders, StoreError, TooLarge, Unavailable
from sagakit.store import EventMessage, KeyValue, Store, Write
from sagakit.store.ports import Cursor

from tests.store.conftest import OpenStore

KEYS = ["Trip.a", "Trip.b", "Trip.=2E=2A=3E", "Trip.-_", "Other.a"]


async def submitted(bucket: KeyValue, *writes: Write) -> list[int | StoreError]:
    """Hand in all at once; the results in the order of the writes."""
    results: dict[int, int | StoreError] = {}
    done = trio.Event()

    def take(number: int, result: int | StoreError) -> None:
        results[number] = result
        if len(results) == len(writes):
            done.set()

    for number, write in enumerate(writes):
        bucket.submit(write, lambda result, number=number: take(number, result))  # type: ignore[misc]  # a default binds
        assert number not in results, "acknowledged inside submit"
    await done.wait()
    return [results[number] for number in range(len(writes))]


async def test_compare_and_set(open_store: OpenStore) -> None:
    async with open_store() as store:
        bucket = store.state
        assert await bucket.get("Trip.a") is None
        first = await bucket.create("Trip.a", b"1")
        with pytest.raises(Conflict):
            await bucket.create("Trip.a", b"2")
        second = await bucket.update("Trip.a", b"2", revision=first)
        assert second > first
        with pytest.raises(Conflict) as conflict:
            await bucket.update("Trip.a", b"3", revision=first)
        assert conflict.value.key == "Trip.a"
        entry = await bucket.get("Trip.a")
        assert entry is not None
        assert (entry.key, entry.value, entry.revision) == ("Trip.a", b"2", second)
        await bucket.put("Trip.a", bytes(range(256)))
        again = await bucket.get("Trip.a")
        assert again is not None
        assert again.value == bytes(range(256))


async def test_a_store_is_durable_across_connections(open_store: OpenStore) -> None:
    async with open_store() as store:
        revision = await store.state.create("Trip.a", b"1")
        first = await appended(store, "run.1", b"{}")
        await store.inbox.send("client", id="m1", saga_type="Trip", saga_id="a", payload=b"1")
    async with open_store() as store:
        assert await store.state.update("Trip.a", b"2", revision=revision) > revision
        assert await read_back(store, "Trip") == [b"{}"]
        assert await appended(store, "run.1", b"{}") == first, "the id is known"
        async with store.inbox.receive("Trip", "new") as messages:
            with trio.fail_after(60):
                assert (await anext(messages)).id == "m1"


async def test_delete_leaves_a_marker_and_purge_leaves_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        revision = await store.state.create("Trip.a", b"1")
        with pytest.raises(Conflict):
            await store.state.delete("Trip.a", revision=revision + 7)
        await store.state.delete("Trip.a", revision=revision)
        assert await store.state.get("Trip.a") is None
        assert await store.state.keys() == []
        with pytest.raises(Conflict):
            await store.state.create("Trip.a", b"2")
        await store.state.purge("Trip.a")
        assert await store.state.create("Trip.a", b"2") > 0


async def test_purge_leaves_what_is_newer_than_its_revision(open_store: OpenStore) -> None:
    """Two callers delete, and a third starts the id anew between them."""
    async with open_store() as store:
        revision = await store.state.delete("Trip.a")
        await store.state.purge("Trip.a", revision=revision)
        await store.state.create("Trip.a", b"new")
        await store.state.purge("Trip.a", revision=revision)
        assert await store.state.get("Trip.a") is not None


async def test_a_deletion_is_told_from_a_value_and_from_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert await store.state.deletion("Trip.a") is None
        await store.state.create("Trip.a", b"1")
        assert await store.state.deletion("Trip.a") is None
        revision = await store.state.delete("Trip.a")
        deletion = await store.state.deletion("Trip.a")
        assert deletion is not None
        assert (deletion.operation, deletion.revision) == ("DEL", revision)


async def test_p10_an_end_marker_refuses_a_create_until_its_ttl_is_over(open_store: OpenStore) -> None:
    async with open_store() as store:
        revision = await store.state.create("Trip.a", b"record")
        (marked,) = await submitted(store.state, Write("Trip.a", b"marker", revision, 1.0))
        assert isinstance(marked, int)
        with pytest.raises(Conflict):
            await store.state.create("Trip.a", b"again")
        with trio.fail_after(60):
            while await store.state.get("Trip.a") is not None:
                await trio.lowlevel.checkpoint()
        assert await store.state.create("Trip.a", b"again") > revision


async def test_keys_and_entries_by_type(open_store: OpenStore) -> None:
    async with open_store() as store:
        for key in KEYS:
            await store.state.create(key, key.encode())
        assert sorted(await store.state.keys()) == sorted(KEYS)
        assert sorted(await store.state.keys("Trip")) == sorted(KEYS[:-1])
        async with store.state.entries("Other") as entries:
            assert [(entry.key, entry.value) async for entry in entries] == [("Other.a", b"Other.a")]


async def test_what_was_written_since_the_last_scan(open_store: OpenStore) -> None:
    async with open_store() as store:
        cursor = Cursor()

        async def scanned() -> list[tuple[str, bytes]]:
            async with store.state.entries("Trip", after=cursor) as entries:
                return sorted([(entry.key, entry.value) async for entry in entries])

        assert await scanned() == []
        for key in ("Trip.a", "Trip.b", "Trip.c", "Other.a"):
            await store.state.create(key, b"1")
        assert await scanned() == [("Trip.a", b"1"), ("Trip.b", b"1"), ("Trip.c", b"1")]
        assert await scanned() == []
        await store.state.create("Other.b", b"1")
        assert await scanned() == []
        await store.state.put("Trip.b", b"2")
        await store.state.delete("Trip.c")
        assert await scanned() == [("Trip.b", b"2")]


async def test_a_scan_that_is_not_read_to_its_end_does_not_move_the_cursor(open_store: OpenStore) -> None:
    async with open_store() as store:
        cursor = Cursor()
        for key in ("Trip.a", "Trip.b"):
            await store.state.create(key, b"1")
        async with store.state.entries("Trip", after=cursor) as entries:
            await anext(aiter(entries))
        async with store.state.entries("Trip", after=cursor) as entries:
            assert [entry.key async for entry in entries] == ["Trip.a", "Trip.b"]


async def test_a_cursor_of_another_bucket_that_stood_there_leaves_nothing_out(open_store: OpenStore) -> None:
    """A bucket that was made anew, or put back to what it was, holds less than the cursor has seen."""
    async with open_store() as store:
        cursor = Cursor()
        for _ in range(3):
            await store.state.put("Trip.a", b"1")
        assert await store.state.keys("Trip") == ["Trip.a"]
        async with store.state.entries("Trip", after=cursor) as entries:
            assert len([entry async for entry in entries]) == 1
        cursor.reached = {shard: reached + 1000 for shard, reached in cursor.reached.items()}
        async with store.state.entries("Trip", after=cursor) as entries:
            assert [entry.key async for entry in entries] == ["Trip.a"]


async def test_a_watch_tells_of_later_changes(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.state.create("Trip.before", b"0")
        async with store.state.watch("Trip") as changes:
            await store.state.create("Other.a", b"1")
            await store.state.create("Trip.a", b"2")
            with trio.fail_after(60):
                async for entry in changes:
                    assert (entry.key, entry.value) == ("Trip.a", b"2")
                    break


async def test_a_batch_is_applied_in_order(open_store: OpenStore) -> None:
    async with open_store() as store:
        results = await submitted(
            store.state,
            *(Write("Trip.a", str(number).encode()) for number in range(100)),
            Write("Trip.b", b"x", 0),
            Write("Trip.b", b"y", 0),
        )
        revisions = [result for result in results[:100] if isinstance(result, int)]
        assert len(revisions) == 100
        assert revisions == sorted(revisions)
        assert isinstance(results[100], int)
        assert isinstance(results[101], Conflict)
        last = await store.state.get("Trip.a")
        assert last is not None
        assert last.value == b"99"


async def test_what_exceeds_max_payload_is_refused(open_store: OpenStore) -> None:
    async with open_store() as store:
        fits, too_large = b"x" * (store.max_payload - 1024), b"x" * (store.max_payload + 1)
        results = await submitted(store.state, Write("Trip.a", fits), Write("Trip.b", too_large))
        assert isinstance(results[0], int)
        assert isinstance(results[1], TooLarge)
        assert await store.state.get("Trip.b") is None


async def test_p9_an_event_is_stored_once_by_its_id(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = await appended(store, "run.1", b"{}")
        assert await appended(store, "run.1", b"{}") == first
        second = await appended(store, "run.2", b"{}")
        assert isinstance(first, int)
        assert isinstance(second, int)
        assert second == first + 1
        assert await read_back(store, "Trip") == [b"{}", b"{}"]
        assert await read_back(store, "Other") == []


async def appended(store: Store, id: str, payload: bytes) -> int | StoreError:
    """Append an event of the key Trip.a, and return the result."""
    found: list[int | StoreError] = []
    done = trio.Event()

    def take(result: int | StoreError) -> None:
        found.append(result)
        done.set()

    subject = store.names.event_subject("Trip.a", "Trip", "step.hotel")
    store.events.submit(EventMessage("Trip.a", subject, id, payload), take)
    await done.wait()
    return found[0]


async def read_back(store: Store, saga_type: str) -> list[bytes]:
    """Return the events of a type in the stream of the key Trip.a."""
    log = store.reading.events[store.names.shard_of("Trip.a")]
    pattern = store.names.event_subject("Trip.a", saga_type, ">")
    return [one.value async for page in log.values([pattern], since=time.time() - 60) for one in page]


async def test_an_event_that_no_stream_captures_is_not_acknowledged(open_store: OpenStore) -> None:
    async with open_store() as store:
        found: list[int | StoreError] = []
        subject = store.names.event_subject("Trip.a", "Trip", "nobody_knows")
        store.events.submit(EventMessage("Trip.a", subject, "run.1", b"{}"), found.append)
        with trio.fail_after(60):
            while not found:  # noqa: ASYNC110  # a callback
                await trio.sleep(0.01)
        assert isinstance(found[0], Unavailable | Ambiguous)


async def test_control_answers_or_tells_that_nobody_is_there(open_store: OpenStore) -> None:
    async def shout(request: bytes) -> bytes:
        return request.upper()

    async with open_store() as store:
        with pytest.raises(NoResponders):
            await store.control.request("w1", b"hello", timeout=60)
        async with store.control.serve("w1", shout):
            assert await store.control.request("w1", b"hello", timeout=60) == b"HELLO"
        with pytest.raises(NoResponders):
            await store.control.request("w1", b"hello", timeout=60)


async def test_a_scan_of_a_busy_bucket_ends(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan reads slowly, page by page, while others write as fast as they can: it ends with what was there."""
    monkeypatch.setattr("sagakit.jetstream.puller.PAGE", 10)
    async with open_store() as store:
        await submitted(store.state, *(Write(f"Trip.old{number}", b"1", 0) for number in range(50)))
        scanned = trio.Event()
        written = 0

        async def write_on() -> None:
            nonlocal written
            while not scanned.is_set():
                await submitted(store.state, *(Write(f"Trip.new{(written + n) % 600}", b"1") for n in range(200)))
                written += 200

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_on)
            with trio.fail_after(60):
                keys = await store.state.keys("Trip")
            scanned.set()
        assert {f"Trip.old{number}" for number in range(50)} <= set(keys)
