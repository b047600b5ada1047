"""The history of a saga has each of its events once, in order, up to the last one of its record."""

from __future__ import annotations

import trio
import trio.testing
from sagakit import Completed
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import member

TYPES = ["started", "step.hotel", "step.flight", "step.tickets", "completed"]


async def test_a_caller_that_was_just_told_of_the_end_sees_all_events(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = MemoryServer()
    server.faults.order(StoreFault(kind="slow", key="saga.BookTrip.step.tickets", delay=60.0))
    async with member(server, BookTrip()) as here, member(server, BookTrip()) as elsewhere:
        assert await here.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        assert len(server.events) == 3, "the last two are not published yet"
        for runtime in (here.runtime, elsewhere.runtime):
            history = await runtime.history(BookTrip, "one")
            assert [event.type.removeprefix("saga.BookTrip.") for event in history.events] == TYPES


async def test_an_event_that_is_twice_in_the_log_is_listed_once(autojump_clock: trio.testing.MockClock) -> None:
    """The log has duplicates after a failover that lasts longer than the server's window for duplicates."""
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
        await running.retired()
        server.events.append(server.events[0])
        history = await running.runtime.history(BookTrip, "one")
    assert [event.sequence for event in history.events] == [1, 2, 3, 4, 5]
