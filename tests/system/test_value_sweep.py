"""Large values are removed once nothing names them, and never before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed
from sagakit.cluster import value_sweep
from sagakit.cluster.value_sweep import NOTE, TURN, sweep, take_turn
from sagakit.engine.value_claims import claim_of
from sagakit.errors import StoreFull
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.claimed_values import PART, keys_of, read_value
from sagakit.store.memory import MemoryKeyValue, MemoryStore, open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names

from tests.system.members import Member, killable, member
from tests.system.papers import ABOVE, Paper, Print, check_whole

Clock = trio.testing.MockClock
TEXT = "a" * 60_000
SPARED, EVERY = 600.0, 60.0
"""Seconds, instead of days and hours: a worker has much to do in a day."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sweeps frequent."""
    monkeypatch.setattr(value_sweep, "SPARED", SPARED)
    monkeypatch.setattr(value_sweep, "EVERY", EVERY)


def kept(server: MemoryServer) -> set[str]:
    """Return the places and runs of the values that are stored."""
    keys = [entry.key.split(".") for entry in server.bucket("SAGA_VALUES").entries("")]
    return {f"{key[0]} {key[3]}" for key in keys if key[0] in ("saga", "start")}


def notes(server: MemoryServer) -> list[str]:
    """Return the keys of the notes of values that are not needed."""
    return [entry.key for entry in server.bucket("SAGA_VALUES").entries(NOTE)]


async def printed(one: Member) -> None:
    """Have a saga with large values end, and be archived."""
    await (await one.runtime.start(Print, "p", Paper(TEXT))).outcome()
    await one.retired()


async def test_values_go_once_the_archive_has_let_go_of_their_saga(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await printed(one)
        await trio.sleep(SPARED + EVERY)
        check_whole(server)
        assert kept(server), "the archive names them, however old they are"
        assert await (await one.runtime.get(Print, "p")).outcome()
        await one.runtime.delete(Print, "p")
        await trio.sleep(3 * EVERY)
        assert kept(server), "the records may have been lost: somebody may rebuild them"
        assert notes(server)
        await trio.sleep(SPARED + 3 * EVERY)
        assert not kept(server)
        assert not notes(server)


async def test_values_of_a_live_saga_stay_and_those_of_an_earlier_life_of_its_id_go(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await printed(one)
        await one.runtime.delete(Print, "p")
        await (await one.runtime.start(Print, "p", Paper(TEXT))).outcome()
        assert len(kept(server)) == 2
        await trio.sleep(SPARED + 5 * EVERY)
        run = (await one.runtime.load(Print, "p")).run
        assert kept(server) == {f"saga {run}"}
        check_whole(server)


async def test_what_a_killed_worker_has_left_is_spared_for_a_time_and_then_removed(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, Print(), claim_above=ABOVE)
        server.faults.before_write = lambda write: victim.kill() if write.where == "state" else None
        with trio.move_on_after(10):
            await victim.runtime.start(Print, "p", Paper(TEXT))
        server.faults.before_write = None
    async with open_memory(server, names=Names()) as store:
        assert kept(server)
        await sweep(store)
        assert kept(server), "the record that names them might still come"
        await trio.sleep(SPARED + 1)
        assert notes(server)
        assert (await sweep(store)).removed == 1
        assert not kept(server)


async def test_a_half_of_a_value_is_removed_too(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with open_memory(server, names=Names()) as store:
        claim = claim_of(b"x" * 100_000, "run")
        await store.values.put(keys_of("saga", "Print.p", claim)[2], b"x")
        await sweep(store)
        await trio.sleep(SPARED + 1)
        assert (await sweep(store)).removed == 1
        assert not kept(server)
        assert not notes(server)


async def test_a_dry_sweep_counts_and_changes_nothing(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await printed(one)
    async with open_memory(server, names=Names()) as store:
        whole = await sweep(store, dry_run=True)
        assert (whole.needed > 1, whole.unneeded, whole.removed) == (True, 0, 0)
        await store.values.put(keys_of("saga", "Print.q", claim_of(b"x", "run"))[0], b"x")
        assert await sweep(store, dry_run=True) == whole._replace(unneeded=1)
        assert not notes(server)
        assert await sweep(store) == whole._replace(unneeded=1)
        await trio.sleep(SPARED + 1)
        await store.values.put(f"{NOTE}.saga.Print.gone.run.{'0' * 64}", b"1")
        before = kept(server), notes(server)
        assert await sweep(store, dry_run=True) == whole._replace(removed=1)
        assert (kept(server), notes(server)) == before
        assert await sweep(store) == whole._replace(removed=1)
        assert not notes(server)


async def test_a_worker_counts_its_sweeps_and_the_values_that_it_removes(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with member(MemoryServer(), Print(), claim_above=ABOVE) as one:
        assert counted(one) == {"done": 0, "failed": 0, "removed": 0}
        await one.store.values.put(keys_of("saga", "Print.q", claim_of(b"x", "run"))[0], b"x")
        await trio.sleep(SPARED + 5 * EVERY)
        found = counted(one)
        assert found["done"] > 3
        assert found == {"done": found["done"], "failed": 0, "removed": 1}

        async def broken(store: MemoryStore) -> None:
            raise StoreFull("no room")

        monkeypatch.setattr(value_sweep, "sweep", broken)
        await trio.sleep(5 * EVERY)
        assert counted(one)["failed"] > 1
        assert counted(one)["done"] == found["done"]


def counted(one: Member) -> dict[str, float]:
    """Return the counters of large values."""
    found = one.runtime.metrics()
    sweeps = {result: found[f'large_value_sweeps_total{{result="{result}"}}'] for result in ("done", "failed")}
    return {**sweeps, "removed": found["large_values_removed_total"]}


async def test_a_value_that_is_needed_again_is_spared_anew(autojump_clock: Clock) -> None:
    """Records were lost, and somebody rebuilds them."""
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await printed(one)
        archived = server.bucket("SAGA_ARCHIVE").read("Print.p")
        assert archived is not None
    async with open_memory(server, names=Names()) as store:
        await trio.sleep(10 * SPARED)
        for _ in range(2):
            await store.archive.purge("Print.p")
            assert (await sweep(store)).removed == 0
            assert notes(server)
            await store.archive.put("Print.p", archived.value)
            await trio.sleep(SPARED + 1)
            assert (await sweep(store)).removed == 0
            assert not notes(server)
        check_whole(server)


STRAYS = (
    "start.Print.a.b.c.d.0", "start.Print.a.b.0", "start.Print.a=.b.c.0", "start.Print.a.b.c.007",
    f"start.Print.a.b.c.{'9' * 5000}", "start.0",
)  # fmt: skip


async def test_a_stray_key_of_a_client_does_not_stop_a_sweep(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with open_memory(server, names=Names()) as store:
        for stray in STRAYS:
            await store.values.put(stray, b"x")
        for place in ("saga", "start"):
            await store.values.put(keys_of(place, "Print.p", claim_of(b"x", "run"))[0], b"x")
        await store.values.put(f"{NOTE}.saga.Print.q.r.s", b"1")  # of a value that is gone
        await sweep(store)
        await trio.sleep(SPARED + 1)
        assert (await sweep(store)).removed == 2
        assert {entry.key for entry in server.bucket("SAGA_VALUES").entries("")} == set(STRAYS)


async def test_a_sweep_goes_on_in_full_storage(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        values = server.bucket("SAGA_VALUES")
        for number in range(3):
            await one.store.values.put(keys_of("saga", f"Print.p{number}", claim_of(b"x", "run"))[0], b"x")
        await trio.sleep(3 * EVERY)
        values.max_bytes = 1
        values.purge(TURN)
        with pytest.raises(StoreFull):
            await one.store.values.put("saga.Print.q.r.s.0", b"x")
        await trio.sleep(SPARED + 3 * EVERY)
        assert not kept(server)


async def test_a_value_that_is_written_again_during_its_removal_stays_whole(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, value = MemoryServer(), b"x" * 140_000
    claim = claim_of(value, "run")
    async with open_memory(server, names=Names()) as store:

        async def write() -> None:
            for number in (1, 2, 0):
                await store.values.put(keys_of("saga", "Print.p", claim)[number], value[number * PART :][:PART])

        await write()
        await sweep(store)
        await trio.sleep(SPARED + 1)
        await store.values.put(keys_of("saga", "Print.p", claim)[2], value[2 * PART :])  # the others are old
        assert (await sweep(store)).removed == 0
        await trio.sleep(SPARED + 1)
        purge, purged = MemoryKeyValue.purge, list[str]()

        async def racing(self: MemoryKeyValue, key: str, *, revision: int | None = None) -> None:
            if not purged:
                await write()
            purged.append(key)
            await purge(self, key, revision=revision)

        monkeypatch.setattr(MemoryKeyValue, "purge", racing)
        await sweep(store)
        assert purged[0].endswith(".0"), "no reader finds a part without its beginning"
        assert await read_value(store.reading.values, "saga", "Print.p", claim) == value


async def upload(store: MemoryStore) -> InboxRequest:
    """Store an input as a client does, and return the start that names it."""
    value = b'{"text":"%b"}' % TEXT.encode()
    claim = claim_of(value, "sent")
    for number, key in enumerate(keys_of("start", "Print.p", claim)):
        await store.values.put(key, value[number * 49_152 : (number + 1) * 49_152])
    return InboxRequest(kind="start", input=claim.as_value())


async def send(store: MemoryStore, request: InboxRequest) -> None:
    """Put a start into the inbox."""
    payload = msgspec.json.encode(request)
    await store.inbox.send("client", id="m", saga_type="Print", saga_id="p", payload=payload)


async def test_an_input_stays_as_long_as_its_start_waits_in_the_inbox(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with open_memory(server, names=Names()) as store:
        await send(store, await upload(store))
        await trio.sleep(3 * SPARED)
        await sweep(store)
        assert kept(server) == {"start sent"}
    async with member(server, Print(), claim_above=ABOVE) as one:
        assert await one.runtime.ended("Print.p")
        assert await (await one.runtime.get(Print, "p")).outcome() == Completed(TEXT.upper() + "120002")
        await trio.sleep(SPARED + 4 * EVERY)
        assert "start sent" not in kept(server), "the saga has a value of its own now"
        check_whole(server)


async def test_a_start_whose_input_is_gone_becomes_a_dead_letter(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        request = await upload(one.store)
        for entry in list(server.bucket("SAGA_VALUES").entries("start")):
            server.bucket("SAGA_VALUES").purge(entry.key, None)
        await send(one.store, request)
        await trio.sleep(60)
        [told] = [message for message in caplog.messages if "is a dead letter" in message]
        assert "its input cannot be read: a value of 60,011 bytes is missing" in told


async def test_a_saga_that_moves_between_two_looks_of_a_sweep_is_not_missed(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await printed(one)
        archived = server.bucket("SAGA_ARCHIVE").read("Print.p")
        assert archived is not None
    async with open_memory(server, names=Names()) as store:
        await trio.sleep(SPARED + EVERY)
        # the record is live again at the first look, and in the archive at the second
        await store.archive.purge("Print.p")
        await store.state.put("Print.p", archived.value)
        look: Callable[..., Any] = value_sweep._has_run

        async def moving(bucket: Any, key: str, run: str) -> bool:
            found: bool = await look(bucket, key, run)
            if server.bucket("SAGA_ARCHIVE").read(key) is None:
                await store.archive.put(key, archived.value)
                await store.state.purge(key)
            return found

        monkeypatch.setattr(value_sweep, "_has_run", moving)
        await sweep(store)
        check_whole(server)


async def test_workers_sweep_in_turn(autojump_clock: Clock) -> None:
    async with open_memory(MemoryServer(), names=Names()) as store:
        assert await take_turn(store, "one")
        assert not await take_turn(store, "two")
        await trio.sleep(EVERY + 1)
        assert await take_turn(store, "two")
        assert not await take_turn(store, "one")
