"""Leases and judgments of death follow docs/architecture.md, "Leases", under virtual time (P7, P12)."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from sagakit import Completed, Config, Failed
from sagakit.binding.registry import Registry
from sagakit.cluster.membership import NEIGHBORS, Members
from sagakit.cluster.worker import run_worker
from sagakit.errors import InvalidConfig
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory import MemoryControl, open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write

from tests.sagas import BookTrip, Trip
from tests.system.leases import TTL, Leases
from tests.system.members import Member, bounded, killable, member, no_asyncio, stands, until_ended
from tests.system.stopped_trips import KEY, Stop, started

Clock = trio.testing.MockClock


def renewal(server: MemoryServer, running: Member) -> int:
    lease = stands(server, "SAGA_WORKERS", running.runtime.worker_id)
    assert lease is not None
    return int(lease["renewal"])


def is_ready(running: Member) -> bool:
    return running.runtime.ready


async def adopted_after(server: MemoryServer, epoch: int = 2) -> float:
    """Return the seconds until the saga has its next owner."""
    began = trio.current_time()
    with trio.fail_after(1000):
        while (stands(server, "SAGA_STATE", KEY) or {}).get("epoch", epoch) < epoch:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.01)
    return trio.current_time() - began


async def test_the_lease_is_durable_before_the_first_saga(autojump_clock: Clock) -> None:
    server = MemoryServer()
    order: list[str] = []

    def watch(write: Watched) -> None:
        order.append("saga" if write.where == "state" else write.key)

    server.faults.after_write = watch
    async with member(server, BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
    assert order.index(running.runtime.worker_id) < order.index("saga")


async def test_a_lease_that_is_too_short_for_a_cluster_is_refused(autojump_clock: Clock) -> None:
    async with open_memory(MemoryServer()) as store:
        store.clustered = True
        for ttl, refused in ((5.9, True), (6.0, False)):
            with pytest.raises(InvalidConfig, match="too short for a cluster") if refused else nullcontext():
                async with run_worker(
                    store,
                    registry=Registry([BookTrip()]),
                    config=Config(lease_ttl=ttl),
                    call_asyncio=no_asyncio,
                ):
                    pass


async def test_the_lease_is_renewed_every_third_of_its_ttl_and_at_once_after_an_outage(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip(), lease_ttl=TTL) as running:
        before = renewal(server, running)
        await trio.sleep(3 * TTL + 0.1)
        assert renewal(server, running) == before + 9
        server.faults.begin_outage()
        await trio.sleep(100)
        assert not running.runtime.ready
        server.faults.end_outage()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert renewal(server, running) > before + 9
        assert running.runtime.ready


async def test_a_killed_worker_is_found_dead_at_once(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        victim = await start(server, BookTrip(stop))
        await start(server, BookTrip())
        await started(victim, stop)
        victim.kill()
        assert await adopted_after(server) < 2
        await until_ended(server, KEY)


async def test_a_death_is_announced_to_all_workers(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that finds the death announces it. The others check for themselves and do not repeat it."""
    server, stop = MemoryServer(), Stop("flight")
    announced: list[str] = []
    announce = MemoryControl.announce

    def counted(self: MemoryControl, saga_types: list[str], worker_id: str) -> None:
        announced.append(worker_id)
        announce(self, saga_types, worker_id)

    monkeypatch.setattr(MemoryControl, "announce", counted)
    async with killable() as start, bounded():
        victim = await start(server, BookTrip(stop))
        others = [await start(server, BookTrip(), scan_interval=1e6) for _ in range(6)]
        await started(victim, stop)
        victim.kill()
        await trio.sleep(5)
        assert stands(server, "SAGA_WORKERS", victim.runtime.worker_id) is None, "its lease was not removed"
        await trio.sleep(100)
    assert sum(other.worker.recovery.adopted for other in others) == 1
    assert set(announced) == {victim.runtime.worker_id}
    assert len(announced) <= NEIGHBORS


async def test_a_silent_worker_is_dead_after_its_ttl_and_commits_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A silent worker may only be paused, so only the renewals count. Its late writes are refused (P7)."""
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        zombie = await start(server, BookTrip(stop), lease_ttl=TTL)
        await start(server, BookTrip(), lease_ttl=TTL)
        await started(zombie, stop)
        await trio.sleep(TTL)
        zombie.store.freeze()
        took = await adopted_after(server)
        assert TTL - TTL / 3 < took < TTL + 3
        stop.go_on.set()
        await until_ended(server, KEY)
        ended = stands(server, "SAGA_STATE", KEY)
        zombie.store.thaw()
        await trio.sleep(1)
        assert stands(server, "SAGA_STATE", KEY) == ended
        assert zombie.worker.environment.fenced_count == 1
        assert "fenced" in caplog.text
        assert zombie.runtime.ready, "the worker continues with the sagas that it still owns"
        await zombie.runtime.execute(BookTrip, "another", Trip())


async def test_a_worker_without_a_lease_is_dead_after_the_ttl_too(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop), lease_ttl=TTL)
        await started(owner, stop)
        owner.store.freeze()
        server.bucket("SAGA_WORKERS").purge(owner.runtime.worker_id)
        await start(server, BookTrip(), lease_ttl=TTL)
        assert TTL < await adopted_after(server) < TTL + 3


async def test_p12_an_outage_kills_nobody(autojump_clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The other worker's first renewal after the outage comes later than the observer's first look."""
    server, stop, beside = MemoryServer(), Stop("flight"), BookTrip()
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop), lease_ttl=TTL)
        other = await start(server, beside, lease_ttl=TTL, scan_interval=1.0)
        await started(owner, stop)
        for _ in range(3):
            server.faults.begin_outage()
            await trio.sleep(5 * TTL)
            server.faults.order(StoreFault(kind="applied_late", key=owner.runtime.worker_id, delay=2.0))
            server.faults.end_outage()
            await trio.sleep(3)
            assert not server.faults.left
        stop.go_on.set()
        await until_ended(server, KEY)
        dead = [line for line in caplog.messages if "is dead" in line]
        assert (dead, other.worker.recovery.adopted) == ([], 0), "P12: a worker was declared dead for an outage"
        assert owner.worker.environment.fenced_count == 0
    assert beside.calls == []
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert (record["epoch"], record["recoveries"]) == (1, 0)


async def test_p12_an_observer_judges_nobody_while_its_own_renewals_are_refused(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose storage is full still answers reads."""
    server, stop = MemoryServer(), Stop("flight")
    leases = Leases(server, monkeypatch)
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop), lease_ttl=TTL)
        other = await start(server, BookTrip(), lease_ttl=TTL, scan_interval=1.0)
        await started(owner, stop)
        leases.full = True
        await trio.sleep(10 * TTL)
        assert not is_ready(owner)
        leases.full = False
        await trio.sleep(2 * TTL)
        assert is_ready(owner)
        assert other.worker.recovery.adopted == 0


async def test_p12_no_responders_prove_nothing_right_after_a_reconnect(autojump_clock: Clock) -> None:
    """The other worker may not have reconnected yet."""
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop), lease_ttl=TTL)
        await start(server, BookTrip(), lease_ttl=TTL, scan_interval=1.0)
        await started(owner, stop)
        server.faults.begin_outage()
        await trio.sleep(1)
        server.faults.end_outage()
        owner.kill()
        assert TTL - 1 < await adopted_after(server) < TTL + 3


async def test_p12_a_worker_that_renews_is_alive_although_it_cannot_be_reached(autojump_clock: Clock) -> None:
    """Its address is lost, for example by a route between servers. Its lease says that it lives."""
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop), lease_ttl=1.2)
        other = await start(server, BookTrip(), lease_ttl=1.2, scan_interval=1.0)
        await started(owner, stop)
        del server.handlers[owner.runtime.worker_id]
        await trio.sleep(100)
        assert other.worker.recovery.adopted == 0
        stop.go_on.set()
        await until_ended(server, KEY)


async def test_no_action_starts_on_a_lease_that_is_older_than_its_ttl(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stop = MemoryServer(), Stop("hotel")
    leases = Leases(server, monkeypatch)
    saga = BookTrip(stop)
    async with member(server, saga, lease_ttl=TTL) as running, bounded():
        handle = await running.runtime.start(BookTrip, "one", Trip())
        await leases.lapse_during(stop)
        await trio.sleep(5 * TTL)
        record = stands(server, "SAGA_STATE", KEY)
        assert record is not None
        assert record["steps"]["flight"]["state"] == "running", "the call is intended"
        assert saga.names == ["hotel"], "and not made"
        leases.full = False
        assert await handle.outcome() == Completed("tickets-Rome")
    assert saga.names == ["hotel", "flight", "tickets"]
    archived = stands(server, "SAGA_ARCHIVE", KEY)
    assert archived is not None
    assert archived["epoch"] == 1


async def test_p2_nothing_overtakes_an_action_that_waits_for_the_lease(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel must not begin to undo while an action is intended and not yet called."""
    server, stop = MemoryServer(), Stop("hotel")
    leases = Leases(server, monkeypatch)
    saga = BookTrip(stop)
    async with member(server, saga, lease_ttl=TTL) as running, bounded(), trio.open_nursery() as nursery:
        handle = await running.runtime.start(BookTrip, "one", Trip())
        await leases.lapse_during(stop)
        await trio.sleep(1)
        nursery.start_soon(handle.cancel)
        await trio.sleep(5 * TTL)
        assert saga.names == ["hotel"]
        leases.full = False
        assert isinstance(await handle.outcome(), Failed)
    assert saga.names == ["hotel", "flight", "cancel_flight", "cancel_hotel"]


async def test_a_lapsed_lease_does_not_prove_ownership(autojump_clock: Clock) -> None:
    """The worker reads the record before the next call, since another worker may have adopted it."""
    server, stop = MemoryServer(), Stop("hotel")
    first, second = BookTrip(stop), BookTrip()
    async with killable() as start, bounded():
        zombie = await start(server, first, lease_ttl=TTL)
        await started(zombie, stop)
        bucket = server.bucket("SAGA_STATE")
        entry = bucket.read(KEY)
        assert entry is not None

        def paused_after_the_write(write: Watched) -> None:
            if write.key == KEY and b'"flight"' in write.value:
                server.faults.after_write = None
                zombie.store.freeze()  # the acknowledgment of "flight is intended" is in the kernel's buffer

        server.faults.after_write = paused_after_the_write
        stop.go_on.set()
        await start(server, second, lease_ttl=TTL)
        await until_ended(server, KEY)
        zombie.store.thaw()
        await trio.sleep(5)
        assert zombie.worker.environment.fenced_count == 1
    assert first.names[:1] == ["hotel"]
    assert second.names == ["flight", "tickets"]


async def test_a_worker_that_has_left_in_good_order_is_replaced_at_once(autojump_clock: Clock) -> None:
    server, stop, heir = MemoryServer(), Stop("flight"), BookTrip()
    saga = BookTrip(stop)
    async with killable() as start, bounded():
        leaving = await start(server, saga, lease_ttl=1e6)
        other = await start(server, heir, lease_ttl=1e6, scan_interval=1e6)
        await started(leaving, stop)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leaving.runtime.drain)
            await trio.sleep(3)
            assert not leaving.runtime.ready
            assert stands(server, "SAGA_STATE", KEY) is not None
            stop.go_on.set()
        began = trio.current_time()
        leaving.leave()
        await until_ended(server, KEY)
        assert trio.current_time() - began < 2
        assert other.worker.recovery.adopted == 1
        await trio.sleep(5)
        assert stands(server, "SAGA_WORKERS", leaving.runtime.worker_id) is None, "its lease is forgotten"
    assert saga.names + heir.names == ["hotel", "flight", "tickets"], "nothing was called twice"
    archived = stands(server, "SAGA_ARCHIVE", KEY)
    assert archived is not None
    assert all(step["attempt"] == 1 for step in archived["steps"].values())


async def test_the_lease_of_a_dead_worker_is_kept_while_another_type_may_need_it(autojump_clock: Clock) -> None:
    """The worker cannot know whether sagas of another type were left behind."""
    server = MemoryServer()
    lease = {"worker": "w-1", "name": "w", "host": "h", "pid": 1, "renewal": 7, "definitions": {"Other": [1]}}
    server.bucket("SAGA_WORKERS").write(Write("w-1", msgspec.json.encode(lease), 0))
    async with member(server, BookTrip(), scan_interval=1.0) as running, bounded():
        await trio.sleep(100)
        assert "w-1" in running.worker.observer.dead
        assert stands(server, "SAGA_WORKERS", "w-1") == lease


@given(ids=st.sets(st.text("abcdef0123", min_size=1, max_size=4), min_size=2, max_size=12))
def test_every_worker_is_watched_by_another(ids: set[str]) -> None:
    watched: set[str] = set()
    for worker_id in ids:
        members = Members(worker_id)
        for other in ids:
            members.add(other)
        assert worker_id not in members.watched()
        assert len(members.watched()) == min(NEIGHBORS, len(ids) - 1)
        watched |= members.watched()
    assert watched == ids


async def test_a_lease_that_is_not_renewed_in_an_outage_is_one_line_a_minute(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = MemoryServer()
    async with member(server, BookTrip()):
        server.faults.begin_outage()
        await trio.sleep(180)
        server.faults.end_outage()
        await trio.sleep(10)
    said = [record.getMessage() for record in caplog.records if "not renewed" in record.getMessage()]
    assert 1 <= len(said) <= 4, said
