"""The history of a saga has each of its events once, in order, up to the last one of its record."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing
from msgspec import Raw, structs
from sagakit import Completed, Saga, timer
from sagakit.engine import OutboxEvent, Published
from sagakit.engine.events import with_logged
from sagakit.repository import SagaRepository, saga_events
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import member


class Nap(Saga[str]):
    """A saga that waits."""

    rest = timer(timedelta(seconds=60))


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


async def test_a_replay_tells_the_states_and_values_of_the_saga_event_by_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
        history = await running.runtime.history(BookTrip, "one")
    states = list(history.replay())
    assert [record.status for _, record in states] == ["running"] * 4 + ["completed"]
    assert [len(record.steps) for _, record in states] == [0, 1, 2, 3, 3]
    first, last, kept = states[0].record, states[-1].record, history.record
    assert (first.input, first.input_digest) == (kept.input, kept.input_digest)
    assert last.outcome is not None
    assert kept.outcome is not None
    assert last.outcome.output == kept.outcome.output == Raw(b'"tickets-Rome"')
    assert {name: log.result for name, log in last.steps.items()} == {
        name: log.result for name, log in kept.steps.items()
    }


async def test_an_event_that_is_twice_in_the_log_is_listed_once(autojump_clock: trio.testing.MockClock) -> None:
    """The log has duplicates after a failover that lasts longer than the server's window for duplicates."""
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
        await running.retired()
        server.events.append(server.events[0])
        history = await running.runtime.history(BookTrip, "one")
    assert [event.sequence for event in history.events] == [1, 2, 3, 4, 5]


async def test_a_record_knows_where_its_events_are(autojump_clock: trio.testing.MockClock) -> None:
    """So a history reads them alone, and not the events of all sagas of the type."""
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        for saga_id in ("other", "one", "next"):
            await running.runtime.execute(BookTrip, saga_id, Trip())
            await running.retired()
        record = await running.runtime.load(BookTrip, "one")
        assert record.logged == [6, 7, 8, 9, 10]

        async def search(*args: object, **options: object) -> None:
            raise AssertionError("the log was searched")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(saga_events, "_search", search)
            history = await running.runtime.history(BookTrip, "one")
            assert [event.type.removeprefix("saga.BookTrip.") for event in history.events] == TYPES
            server.lose_events(7)
            history = await running.runtime.history(BookTrip, "one")
            assert [event.sequence for event in history.events] == [3, 4, 5], "what is gone is not searched for"


@pytest.mark.parametrize("logged", [[], [6], [6, 10], [1, 2, 3, 4, 5]])
async def test_the_log_is_searched_for_events_whose_places_the_record_does_not_know(
    autojump_clock: trio.testing.MockClock, logged: list[int]
) -> None:
    """A record of an older release, one with many events, and one whose places are those of another log."""
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        for saga_id in ("other", "one", "next"):
            await running.runtime.execute(BookTrip, saga_id, Trip())
            await running.retired()
        record = structs.replace(await running.runtime.load(BookTrip, "one"), logged=logged)
        found = await SagaRepository(running.runtime._store.reading).history(record)
        assert [event.type.removeprefix("saga.BookTrip.") for event in found.events] == TYPES


async def test_a_passivated_saga_keeps_the_places_of_its_events(autojump_clock: trio.testing.MockClock) -> None:
    async with member(MemoryServer(), Nap(), passivate_after=1.0) as running:
        handle = await running.runtime.start(Nap, "one", "x")
        await trio.sleep(30)
        assert running.runtime.passivated == 1
        await handle.outcome()
        await running.retired()
        assert len((await running.runtime.load(Nap, "one")).logged) == len(
            (await running.runtime.history(Nap, "one")).events
        )


def test_a_record_keeps_the_places_of_its_first_event_and_of_the_last_ones() -> None:
    logged: list[int] = []
    for seq in range(1, 301):
        event = OutboxEvent(seq, "x", 0.0, Raw(b"{}"))
        logged = with_logged(logged, [event], Published(seq, (1000 + seq,)))
    assert logged == [1001, *range(1202, 1301)]
