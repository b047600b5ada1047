"""A saga is described for people: values decoded, attempts with times and errors, and a text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from sagakit import Ctx, Saga, child, signal, step
from sagakit.errors import UnknownSaga
from sagakit.store.memory_server import MemoryServer

from tests.sagas import Booked, BookTrip, Trip
from tests.system.members import EPOCH, member
from tests.system.test_operators import stuck

Clock = trio.testing.MockClock


async def test_a_stuck_saga_is_described_with_its_values_and_attempts(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(city="Oslo", fail="tickets"))
        found = await handle.describe()
        assert found == await running.runtime.describe(BookTrip, "one")
    assert (found.type, found.id, found.status, found.input) == (
        "BookTrip",
        "one",
        "stuck",
        Trip("Oslo", fail="tickets"),
    )
    assert (found.created_at - datetime.fromtimestamp(EPOCH, UTC)).total_seconds() < 5
    by_name = {view.name: view for view in found.steps}
    assert by_name["hotel"].result == Booked("hotel-Oslo")
    assert [(one.kind, one.number, one.error) for one in by_name["hotel"].attempts] == [("do", 1, None)]
    tries = by_name["tickets"].attempts
    assert [(one.kind, one.number) for one in tries] == [("do", 1), ("do", 2)]
    assert all("tickets broke" in (one.error or "") for one in tries)
    assert tries[0].at < tries[1].at
    assert all(one.next_at is not None and one.next_at > one.at for one in tries)
    assert by_name["tickets"].calls == 3
    text = str(found)
    assert text.startswith("BookTrip one: stuck\n")
    assert "input Trip(city='Oslo'" in text
    assert "hotel: done, 1 attempt, result Booked(ref='hotel-Oslo')" in text
    assert "do 2: " in text
    assert "Raw" not in text


async def test_failed_tries_of_a_compensation_are_described(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(refuse="flight", fail="cancel_hotel"))
        await handle.settled()
        found = await handle.describe()
    hotel = next(view for view in found.steps if view.name == "hotel")
    assert [(one.kind, one.number) for one in hotel.attempts] == [("do", 1), ("undo", 1), ("undo", 2), ("undo", None)]
    assert (found.cause, found.code) == ("rejected", "refused")
    assert "turned back: rejected, refused" in str(found)


class Part(Saga[str]):
    go = signal(str)


class Whole(Saga[str]):
    @step(compensate=None)
    async def first(self, input: str, ctx: Ctx) -> None: ...

    part = child(Part, lambda input, ctx: input, after=[first])


async def test_a_child_whose_type_no_worker_runs_is_said_so(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Whole()) as running:
        handle = await running.runtime.start(Whole, "one", "x")
        await trio.sleep(10)
        text = str(await handle.describe())
        assert "no worker runs Part: part waits until one does" in text
        async with member(server, Part()):
            await trio.sleep(10)
            assert "no worker runs" not in str(await handle.describe())


async def test_nobody_is_described_who_is_not_there(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        with pytest.raises(UnknownSaga):
            await running.runtime.describe(BookTrip, "nobody")
