"""The contract of the port `StoreReading`: windows, newest first, on the real server and on the fake."""

from __future__ import annotations

import pytest
import trio
from sagakit.store import EventMessage, Store
from sagakit.store.ports import KeyValue, StreamReading

from tests.store.conftest import OpenStore


async def written(bucket: KeyValue, *keys: str) -> None:
    for key in keys:
        await bucket.put(key, key.encode())


async def turned(
    streams: list[StreamReading], patterns: list[str], want: int, seen: list[int] | None = None
) -> set[str]:
    """Return the keys of all windows, read backwards to the first one, and check the order of each stream."""
    found: set[str] = set()
    for stream in streams:
        below: int | None = None
        last = 2**63
        while below != 0:
            window = await stream.window(patterns, upto=below, want=want)
            sequences = [value.sequence for value in window.values]
            assert sequences == sorted(sequences, reverse=True)
            assert all(window.below < sequence < last for sequence in sequences)
            assert len(sequences) <= 8 * want
            last = min([last, *sequences])
            below = window.below
            found |= {value.key for value in window.values}
            if seen is not None:
                seen.append(len(sequences))
    return found


async def test_windows_cover_a_bucket_newest_first(open_store: OpenStore) -> None:
    async with open_store() as store:
        keys = [f"Trip.{number:03}" for number in range(40)]
        await written(store.state, *keys, "Other.a")
        streams = list(store.reading.state)
        assert await turned(streams, [], want=7) == {*keys, "Other.a"}
        assert await turned(streams, ["Trip.>"], want=7) == set(keys)
        assert await turned(streams, ["Trip.>", "Other.>"], want=100) == {*keys, "Other.a"}
        assert await turned(streams, ["Nothing.>"], want=7) == set()
        assert await turned(list(store.reading.archive), [], want=7) == set()


async def test_a_window_has_values_with_their_times(open_store: OpenStore) -> None:
    async with open_store() as store:
        before = await store.reading.now()
        revision = await store.state.put("Trip.a", b"\x00value")
        shard = store.names.shard_of("Trip.a")
        window = await store.reading.state[shard].window([], upto=None, want=5)
        after = await store.reading.now()
        [value] = window.values
        assert (value.key, value.value, value.sequence, window.below) == ("Trip.a", b"\x00value", revision, 0)
        assert before - 0.01 <= value.at <= after + 0.01


async def test_windows_pass_over_gaps_and_delete_markers(open_store: OpenStore) -> None:
    """Old records, a long gap where records were replaced, delete markers, and again some records."""
    async with open_store() as store:
        await written(store.state, "Trip.old1", "Trip.old2", "Trip.old3")
        for _ in range(100):
            await written(store.state, "Trip.busy")
        await written(store.state, "Trip.gone", "Trip.new")
        await store.state.delete("Trip.gone")
        seen: list[int] = []
        assert await turned(list(store.reading.state), [], 2, seen) == {
            "Trip.old1", "Trip.old2", "Trip.old3", "Trip.busy", "Trip.new",
        }  # fmt: skip
        assert len(seen) <= 6 * store.names.shards, "a gap is passed over by a few windows"


async def test_a_dense_part_behind_a_gap_is_read_by_small_windows(open_store: OpenStore) -> None:
    async with open_store() as store:
        keys = [f"Trip.{number:03}" for number in range(100)]
        await written(store.state, *keys)
        for _ in range(100):
            await written(store.state, "Trip.busy")
        assert await turned(list(store.reading.state), [], want=2) == {*keys, "Trip.busy"}


async def test_later_windows_are_not_moved_by_later_writes(open_store: OpenStore) -> None:
    async with open_store() as store:
        keys = [f"Trip.{number}" for number in range(9)]
        await written(store.archive, *keys)
        for stream in store.reading.archive:
            first = await stream.window([], upto=None, want=2)
            await written(store.archive, *(f"Trip.new{number}" for number in range(9)))
            values = list(first.values)
            if first.below:
                values += (await stream.window([], upto=first.below, want=100)).values
            assert all(value.key in keys or value in first.values for value in values)


async def test_all_values_come_even_if_one_is_written_meanwhile(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that moves to the end of its stream while that is read comes again, there."""
    monkeypatch.setattr("sagakit.jetstream.puller.PAGE", 3)
    monkeypatch.setattr("sagakit.store.memory_reading.PAGE", 3)
    async with open_store() as store:
        keys = [f"Trip.{number}" for number in range(20)]
        await written(store.state, *keys)
        found: list[str] = []
        for stream in store.reading.state:
            first = True
            async for page in stream.values(["Trip.>"]):
                found += [value.key for value in page]
                if first:
                    await written(store.state, "Trip.19", "Trip.18")
                    first = False
        assert set(found) == set(keys)


async def test_single_keys_are_read_from_the_leader(open_store: OpenStore) -> None:
    async with open_store() as store:
        await written(store.state, "Trip.a", "Trip.b")
        await store.state.delete("Trip.b")
        shard = store.names.shard_of
        for key, value in (("Trip.a", b"Trip.a"), ("Trip.b", None), ("Trip.c", None)):
            stream = store.reading.state[shard(key)]
            found = await stream.get(key)
            assert (None if found is None else found.value) == value
            assert list(await stream.get_each([key, key])) == [found, found]


async def test_events_are_counted_by_pattern_subject_and_time(open_store: OpenStore) -> None:
    async with open_store() as store:
        for number in range(6):
            key = f"Trip.{number}"
            await appended(store, key, "stuck" if number % 2 else "started", number)
        streams = store.reading.events
        stuck = store.names.subject("saga.>" if store.names.shards == 1 else "saga.*.>").replace(">", "*.stuck")
        totals = [await stream.counts([stuck, ">"]) for stream in streams]
        assert [sum(column) for column in zip(*totals, strict=True)] == [3, 6]
        later = await store.reading.now() + 100
        assert [list(await stream.counts([stuck], since=later)) for stream in streams] == [[0]] * len(streams)
        subjects = [await stream.subjects(stuck) for stream in streams]
        assert sum(number for some in subjects for number in some.values()) == 3
        windows = [await stream.window([stuck], upto=None, want=10) for stream in streams]
        assert sorted(value.value for window in windows for value in window.values) == [b"1", b"3", b"5"]


async def appended(store: Store, key: str, suffix: str, number: int) -> None:
    done = trio.Event()
    subject = store.names.event_subject(key, "Trip", suffix)
    message = EventMessage(key, subject, f"run.{number}", str(number).encode())

    def take(result: object) -> None:
        assert isinstance(result, int), result
        done.set()

    store.events.submit(message, take)
    await done.wait()
