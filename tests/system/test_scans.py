"""A scan reads all records when one may have been left behind, and otherwise those written since the last scan."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from sagakit import Completed
from sagakit.cluster import recovery
from sagakit.errors import RuntimeClosed, Unavailable
from sagakit.store.memory import MemoryControl, MemoryKeyValue
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Cursor, Entry, Write
from sagakit.system.saga.saga_actor import SagaActor

from tests.sagas import BookTrip, Trip
from tests.system.deliveries import Remind
from tests.system.members import EPOCH, Member, bounded, killable, member, stands
from tests.system.stopped_trips import Stop, started

Clock = trio.testing.MockClock
INTERVAL = 20.0
SOON = 1.6 * INTERVAL
"""Seconds within which a scan is certain to happen."""


class Seen:
    """The keys that scans have read, oldest first."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        scan = MemoryKeyValue._scan

        async def noted(bucket: MemoryKeyValue, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]:
            async for entry in scan(bucket, prefix, cursor):
                self.keys.append(entry.key)
                yield entry

        patch.setattr(MemoryKeyValue, "_scan", noted)

    async def of_next(self, scans: int = 1) -> list[str]:
        """Return the keys that the next scans read."""
        self.keys.clear()
        await trio.sleep(scans * SOON)
        return self.keys


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    monkeypatch.setattr(recovery, "WHOLE", 1000)
    return Seen(monkeypatch)


@asynccontextmanager
async def waiting(server: MemoryServer, *ids: str) -> AsyncIterator[Member]:
    """Run a worker with passivated sagas that its scans have read."""
    async with member(server, Remind(), BookTrip(), scan_interval=INTERVAL, lease_ttl=1e6) as running, bounded():
        for id in ids:
            await running.runtime.start(Remind, id, EPOCH + 1e6)
        await trio.sleep(SOON)
        yield running
        await running.worker.drain()


async def test_an_unchanged_record_is_not_read_again(seen: Seen, autojump_clock: Clock) -> None:
    async with waiting(MemoryServer(), "a", "b") as running:
        assert await seen.of_next(3) == []
        await running.runtime.execute(BookTrip, "one", Trip())
        await running.retired()
        assert set(await seen.of_next()) == {"BookTrip.one"}, "its end marker"
        assert await seen.of_next() == []
        seen.keys.clear()
        await running.runtime.scan()
        assert set(seen.keys) >= {"Remind.a", "Remind.b"}


async def test_all_records_are_read_now_and_then(
    seen: Seen, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "WHOLE", 4)
    async with waiting(MemoryServer(), "a", "b"):
        found = await seen.of_next(20)
        scans = 20 * SOON / INTERVAL
        assert scans / 10 < found.count("Remind.a") < scans / 2


async def test_a_record_that_another_writer_changed_is_read_by_the_next_scan(seen: Seen, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with waiting(server, "a", "b") as running:
        bucket = server.bucket("SAGA_STATE")
        entry = bucket.read("Remind.a")
        assert entry is not None
        owner = running.worker.environment.worker_id.encode()
        bucket.write(Write("Remind.a", entry.value.replace(owner, b"somebody-else"), entry.revision))
        assert await seen.of_next() == ["Remind.a"]
        assert running.runtime.passivated == 1
        assert running.worker.environment.fenced_count == 1


async def test_an_outage_of_minutes_is_reported_once_a_minute_by_the_scans_that_it_breaks(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given_up = 0

    def unavailable(self: MemoryKeyValue, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]:
        nonlocal given_up
        given_up += 1
        raise Unavailable("not connected")

    async with waiting(MemoryServer(), "a"):
        monkeypatch.setattr(MemoryKeyValue, "_scan", unavailable)
        with caplog.at_level(logging.INFO, "sagakit.recovery"):
            await trio.sleep(SOON + 3 * 60)
    assert given_up > 60
    lines = [record.getMessage() for record in caplog.records if "scan given up" in record.getMessage()]
    assert 3 <= len(lines) <= 4
    assert "more lines of this kind were not logged before" in lines[1]


async def test_all_records_are_read_after_a_broken_scan(
    seen: Seen, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(MemoryServer(), "a", "b") as running:
        with monkeypatch.context() as patch:

            def broken(self: MemoryKeyValue, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]:
                raise Unavailable("broken off")

            patch.setattr(MemoryKeyValue, "_scan", broken)
            with pytest.raises(Unavailable):
                await running.worker.recovery.scan(whole=False)
        assert set(await seen.of_next()) == {"Remind.a", "Remind.b"}


async def test_all_records_are_read_after_an_outage(seen: Seen, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with waiting(server, "a", "b"):
        server.faults.begin_outage()
        await trio.sleep(1)
        server.faults.end_outage()
        seen.keys.clear()
        await trio.sleep(1)
        assert set(seen.keys) == {"Remind.a", "Remind.b"}


async def test_a_dead_workers_record_is_found_although_scans_have_read_it_before(autojump_clock: Clock) -> None:
    """The record was there when the other workers last scanned, and was not written since."""
    server, stop, beside = MemoryServer(), Stop("flight"), BookTrip()
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop))
        other = await start(server, beside, scan_interval=INTERVAL)
        await started(owner, stop)
        await other.runtime.scan()
        owner.kill()
        with trio.fail_after(60):  # scans need no reason to read everything until long after this
            assert await (await other.runtime.get(BookTrip, "one")).outcome() == Completed("tickets-Rome")
    assert beside.names == ["flight", "tickets"]


@pytest.mark.usefixtures("quiet_crashes")
async def test_a_saga_whose_actor_was_given_up_is_found_by_the_next_scan(
    seen: Seen, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its actor crashes until it is given up, and as it is given up. Earlier scans have read its record."""
    server, stop = MemoryServer(), Stop("flight")
    options = {"scan_interval": INTERVAL, "lease_ttl": 1e6, "max_restarts": 0}
    async with member(server, BookTrip(stop), **options) as running, bounded():
        handle = await started(running, stop)
        for _ in range(2):
            seen.keys.clear()
            await running.worker.recovery.scan(whole=False)
        assert seen.keys == []
        with monkeypatch.context() as patch:

            def crash(self: SagaActor, *args: object) -> None:
                raise LookupError("a bug")

            patch.setattr(SagaActor, "_advance", crash)
            patch.setattr(SagaActor, "_loaded", crash)
            stop.go_on.set()
            await running.retired()
        record = stands(server, "SAGA_STATE", "BookTrip.one")
        assert record is not None
        assert record["owner"] == running.worker.environment.worker_id
        assert "BookTrip.one" in await seen.of_next()
        assert await handle.outcome() == Completed("tickets-Rome")


async def test_heirs_are_told_of_a_death_in_a_fleet_of_several_kinds(autojump_clock: Clock) -> None:
    """Four workers of another kind are between the two in the ring, so no heir watches the worker that dies."""
    server = MemoryServer()
    async with killable() as start, bounded():
        owner = await start(server, Remind(), worker_name="a-owner")
        heir = await start(server, Remind(), worker_name="b-heir")
        for number in range(4):
            await start(server, BookTrip(), worker_name=f"c-other{number}")
        await owner.runtime.start(Remind, "one", EPOCH + 1e6)
        await trio.sleep(100)
        owner.kill()
        with trio.fail_after(5):
            await until_owned(server, heir)


async def test_a_death_whose_announcement_is_lost_is_noticed(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans do not read the owner's old record again, but each scan probes the owner."""
    monkeypatch.setattr(recovery, "WHOLE", 1000)
    monkeypatch.setattr(MemoryControl, "announce", lambda *_: None)
    server = MemoryServer()
    async with killable() as start, bounded():
        owner = await start(server, Remind(), worker_name="a-owner")
        heir = await start(server, Remind(), worker_name="b-heir", scan_interval=INTERVAL)
        for number in range(4):
            await start(server, BookTrip(), worker_name=f"c-other{number}")
        await owner.runtime.start(Remind, "one", EPOCH + 1e6)
        await trio.sleep(100)
        owner.kill()
        with trio.fail_after(2 * SOON):
            await until_owned(server, heir)


async def until_owned(server: MemoryServer, heir: Member) -> None:
    while (stands(server, "SAGA_STATE", "Remind.one") or {}).get("owner") != heir.worker.environment.worker_id:  # noqa: ASYNC110  # virtual time
        await trio.sleep(0.1)


async def test_a_scan_that_is_requested_during_another_misses_nothing(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan under way does not know of the death, so its reads must not count for the requested one."""
    monkeypatch.setattr(recovery, "WHOLE", 1000)
    scan, slow = MemoryKeyValue._scan, trio.Event()
    server = MemoryServer()

    async def slowly(bucket: MemoryKeyValue, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]:
        if prefix == "BookTrip" and slow.is_set():
            await trio.sleep(20)
        async for entry in scan(bucket, prefix, cursor):
            yield entry

    monkeypatch.setattr(MemoryKeyValue, "_scan", slowly)
    async with killable() as start, bounded(), trio.open_nursery() as nursery:
        owner = await start(server, BookTrip(), Remind())
        heir = await start(server, BookTrip(), Remind(), scan_interval=1e6)
        await owner.runtime.start(Remind, "one", EPOCH + 1e6)
        await trio.sleep(5)
        slow.set()
        nursery.start_soon(partial(heir.worker.recovery.scan, whole=False))
        await trio.sleep(1)
        owner.kill()
        while not heir.worker.observer.dead:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
        nursery.start_soon(heir.runtime.scan)
        with trio.fail_after(100):
            await until_owned(server, heir)
        nursery.cancel_scope.cancel()


async def handed_to(server: MemoryServer, worker_id: str, *ids: str) -> None:
    """Leave records that name this worker as owner, each with one step under way."""
    async with killable() as start:
        victim = await start(server, BookTrip(Stop("flight")), **CALM)
        for id in ids:
            await victim.runtime.start(BookTrip, id, Trip())
        victim.kill()
    bucket = server.bucket("SAGA_STATE")
    for id in ids:
        entry = bucket.read(f"BookTrip.{id}")
        assert entry is not None
        mine = entry.value.replace(victim.worker.environment.worker_id.encode(), worker_id.encode())
        bucket.write(Write(entry.key, mine, entry.revision))


CALM = {"scan_interval": 1e6, "lease_ttl": 1e6}


async def test_a_scan_after_a_drain_says_that_the_runtime_takes_no_sagas(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip(), **CALM) as running, bounded():
        await running.runtime.drain()
        await handed_to(server, running.runtime.worker_id, "one", "two")
        with pytest.raises(RuntimeClosed, match="drains: it takes no sagas over"):
            await running.runtime.scan()


async def test_a_scan_that_a_drain_overtakes_says_that_the_runtime_takes_no_sagas(autojump_clock: Clock) -> None:
    """The worker is full: the found sagas wait for a place, and no place comes any more."""
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), max_active=1, **CALM) as running, bounded():
        await running.runtime.start(BookTrip, "mine", Trip())
        await stop.reached.wait()
        await handed_to(server, running.runtime.worker_id, "one", "two")

        async def scan() -> None:
            with pytest.raises(RuntimeClosed, match="drains: it takes no sagas over"):
                await running.runtime.scan()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(scan)
            await trio.testing.wait_all_tasks_blocked()
            assert running.worker.recovery.pending == 2
            await running.runtime.drain()
    for id in ("one", "two"):
        record = stands(server, "SAGA_STATE", f"BookTrip.{id}")
        assert record is not None
        assert record["epoch"] == 1
