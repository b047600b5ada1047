"""Leases tell of the sagas and events of their workers, and the repository relies on that."""

from __future__ import annotations

import trio
import trio.testing
from sagakit.repository import SagaRepository, Wanted
from sagakit.repository.index import Index
from sagakit.repository.leases import LeaseSays, leases_of
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import Member, member
from tests.system.stuck_sagas import stuck

Clock = trio.testing.MockClock


async def told(running: Member) -> LeaseSays:
    [lease] = [lease.says async for lease in leases_of(running.runtime._store.reading)]
    return lease


async def test_a_lease_has_the_numbers_of_a_worker(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), saga := BookTrip()) as running:
        for number in range(3):
            await stuck(running.runtime, saga, f"s{number}", Trip(fail="tickets"))
        await running.runtime.execute(BookTrip, "good", Trip())
        await running.retired()
        await trio.sleep(5)
        lease = await told(running)
        assert (lease.counts, lease.backlog) == ({"BookTrip": {"stuck": 3}}, 0.0)
        repository = SagaRepository(running.runtime._store.reading)
        found = await repository.count(Wanted(ended=True), few=0)
        assert (found.counts, found.exact) == ({("BookTrip", "completed"): 1, ("BookTrip", "stuck"): 3}, False)


async def test_a_lease_tells_for_how_long_an_event_has_waited(autojump_clock: Clock) -> None:
    """Then the events do not count, and a stuck saga whose event is missing is found all the same."""
    server = MemoryServer()
    server.faults.order(StoreFault(kind="slow", key="saga.BookTrip.stuck", delay=600.0))
    async with member(server, saga := BookTrip()) as running:
        await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        await trio.sleep(60)
        backlog = (await told(running)).backlog
        assert backlog is not None
        assert backlog > 50
        reading = running.runtime._store.reading
        assert not await Index(reading).helps(Wanted(status="stuck"), None, await reading.now())
        assert [info.id for info in (await running.runtime.list(status="stuck")).items] == ["one"]
