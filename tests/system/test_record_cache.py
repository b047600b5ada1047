"""A passivated saga whose record is kept takes a message without a read, and never from a record that may be old."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from msgspec import Raw
from sagakit import Completed, Context, Saga, signal, step
from sagakit.engine import Inbound
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Entry
from sagakit.system import record_cache
from sagakit.system.record_cache import CachedRecord, RecordCache

from tests.looks import record_of
from tests.system.deliveries import CALM
from tests.system.members import Member, member, reads_of

Clock = trio.testing.MockClock
QUIET = CALM | {"passivate_after": 1.0}


class Tea(Saga[str]):
    """A saga that waits for two signals."""

    water = signal(int)
    leaves = signal(int)

    @step(water, leaves, compensate=None)
    async def brew(self, of: str, water: int, leaves: int, ctx: Context) -> None: ...


async def waiting(running: Member, *ids: str) -> None:
    """Start these sagas, and wait until they are passivated."""
    for id in ids:
        await running.runtime.start(Tea, id, "green")
    await trio.sleep(10)
    assert running.worker.sagas.passivated == len(ids)


async def test_a_message_to_a_saga_that_was_passivated_a_while_ago_costs_no_read(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Tea(), **QUIET) as running:
        await waiting(running, "one")
        run = (await record_of(await running.runtime.get(Tea, "one"))).run
        await trio.sleep(1000)
        with reads_of(running.store) as read:
            water = Inbound(id="w", kind="signal", run=run, step="water", payload=Raw(b"1"))
            assert await running.worker.requests.anywhere("Tea.one", water) == "accepted"
            await trio.sleep(10)
            assert running.worker.sagas.passivated == 1  # again, with the record that has the first signal
            await running.runtime.signal(Tea, "one", Tea.leaves, 2)
        assert read == []
        handle = await running.runtime.get(Tea, "one")
        assert isinstance(await handle.outcome(), Completed)


async def test_after_a_lost_connection_a_passivated_saga_is_read_anew(autojump_clock: Clock) -> None:
    """Another worker may have adopted it meanwhile."""
    server = MemoryServer()
    async with member(server, Tea(), **QUIET) as running:
        await waiting(running, "one")
        server.faults.begin_outage()
        await trio.sleep(1)
        server.faults.end_outage()
        await trio.sleep(1)
        with reads_of(running.store) as read:
            await running.runtime.signal(Tea, "one", Tea.water, 1)
        assert read == ["Tea.one"]


async def test_p7_after_a_lapse_of_the_lease_a_message_reaches_the_new_owner(autojump_clock: Clock) -> None:
    """The first worker was frozen for longer than its lease lasts, and its passivated saga was adopted."""
    server = MemoryServer()
    options = {"lease_ttl": 6.0, "scan_interval": 36000.0, "passivate_after": 1.0}
    async with member(server, Tea(), **options) as first:
        await waiting(first, "one")
        async with member(server, Tea(), **options) as second:
            first.store.freeze()
            await trio.sleep(60)
            assert second.worker.sagas.passivated == 1
            await second.runtime.signal(Tea, "one", Tea.water, 1)
            first.store.thaw()
            await first.runtime.signal(Tea, "one", Tea.leaves, 2)
            handle = await second.runtime.get(Tea, "one")
            assert isinstance(await handle.outcome(), Completed)
            assert (await record_of(handle)).epoch == 2
    assert first.worker.environment.fenced_count == 0


async def test_a_record_that_a_scan_has_found_changed_is_not_kept(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Tea(), **QUIET) as running:
        await waiting(running, "one", "two")
        entry = await running.store.state.get("Tea.one")
        assert entry is not None
        running.worker.sagas.compare("Tea.one", entry.revision + 1, trio.current_time())
        two = await running.store.state.get("Tea.two")
        assert two is not None
        running.worker.sagas.compare("Tea.two", two.revision, trio.current_time())
        with reads_of(running.store) as read:
            for id in ("one", "two"):
                await running.runtime.signal(Tea, id, Tea.water, 1)
        assert read == ["Tea.one"]


async def test_a_message_to_another_run_is_not_judged_by_a_kept_record(autojump_clock: Clock) -> None:
    """The saga was removed from outside, and its id started again on another worker."""
    server = MemoryServer()
    options = CALM | {"passivate_after": 1.0, "scan_interval": 36000.0}
    async with member(server, Tea(), **options) as first:
        await waiting(first, "one")
        async with member(server, Tea(), **options) as second:
            await second.store.state.purge("Tea.one")
            record = await record_of(await second.runtime.start(Tea, "one", "black"))
            water = Inbound(id="w", kind="signal", run=record.run, step="water", payload=Raw(b"1"))
            assert await first.worker.requests.anywhere("Tea.one", water) == "accepted"
            assert not first.worker.sagas.has("Tea.one")


def test_the_records_that_were_kept_first_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_cache, "MOST_BYTES", 100)
    kept = RecordCache()
    for number in range(4):
        kept.keep(CachedRecord(Entry(f"Tea.{number}", bytes(40), 1), 0.0, "a run"))
    kept.keep(CachedRecord(Entry("Tea.3", bytes(20), 2), 0.0, "a run"))  # in its own place
    assert [kept.take(f"Tea.{number}") is not None for number in range(4)] == [False, False, True, True]
    kept.keep(CachedRecord(Entry("Tea.5", bytes(101), 1), 0.0, "a run"))
    assert kept.take("Tea.5") is None
