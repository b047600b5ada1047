"""A saga that has just ended is listed once, and can be deleted, before it is in the archive."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, NotAllowed
from sagakit.errors import UnknownSaga
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import killable, member
from tests.system.quotes import CALM, Order, Quote

Clock = trio.testing.MockClock


def with_a_slow_log() -> MemoryServer:
    """Return a server whose log takes a minute for a saga's last event, so that the saga is archived that late."""
    server = MemoryServer()
    server.faults.order(StoreFault(kind="slow", key="saga.BookTrip.completed", delay=60.0))
    return server


@pytest.mark.parametrize("limit", [None, 1, 10])
async def test_a_saga_that_has_just_ended_is_listed_once(autojump_clock: Clock, limit: int | None) -> None:
    server = with_a_slow_log()
    async with member(server, BookTrip()) as here, member(server, BookTrip()) as elsewhere:
        assert isinstance(await here.runtime.execute(BookTrip, "one", Trip()), Completed)
        assert server.bucket("SAGA_ARCHIVE").read("BookTrip.one") is None
        for runtime in (here.runtime, elsewhere.runtime):
            assert [info.saga_id for info in (await runtime.list(status="completed", limit=limit)).items] == ["one"]
            assert (await runtime.list(status="failed", limit=limit)).items == []
        await here.retired()
        assert [info.saga_id for info in (await here.runtime.list(status="completed", limit=limit)).items] == ["one"]


async def test_pages_cover_the_archive_and_sagas_that_have_just_ended(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        runtime = running.runtime
        for number in range(4):
            await runtime.execute(BookTrip, f"s{number}", Trip())
        await running.retired()
        server.faults.order(StoreFault(kind="slow", key="saga.BookTrip.completed", delay=60.0))
        await runtime.execute(BookTrip, "s2a", Trip())
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await runtime.list(status="completed", limit=2, cursor=cursor)
            seen += [info.saga_id for info in page.items]
            if (cursor := page.cursor) is None:
                break
    assert seen == ["s2a", "s3", "s2", "s1", "s0"]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_saga_that_has_just_ended_is_deleted_once_it_is_archived(autojump_clock: Clock, where: str) -> None:
    server = with_a_slow_log()
    async with member(server, BookTrip()) as here, member(server, BookTrip()) as elsewhere:
        await here.runtime.execute(BookTrip, "one", Trip())
        runtime = {"here": here, "elsewhere": elsewhere}[where].runtime
        await runtime.delete(BookTrip, "one")
        with pytest.raises(UnknownSaga):
            await runtime.get(BookTrip, "one")
        assert (await runtime.list(status="completed")).items == []
        await runtime.execute(BookTrip, "one", Trip(city="Oslo"))


async def test_a_delete_that_is_cancelled_while_it_waits_deletes_nothing(autojump_clock: Clock) -> None:
    async with member(with_a_slow_log(), BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
        with trio.move_on_after(1) as scope:
            await running.runtime.delete(BookTrip, "one")
        assert scope.cancelled_caught
        await running.retired()
        assert (await running.runtime.load(BookTrip, "one")).status == "completed"


async def test_a_child_that_has_ended_is_not_deleted_before_its_parent_ends(autojump_clock: Clock) -> None:
    parent: Any = Order()
    async with killable() as start:
        running = await start(MemoryServer(), parent, Quote(), **CALM)
        await running.runtime.start(Order, "one", "x")
        with trio.fail_after(100):
            while not (quotes := (await running.runtime.list(type=Quote)).items):  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        quote = await running.runtime.get(Quote, quotes[0].saga_id)
        await running.runtime.signal(Quote, quote.id, Quote.told, 7)
        assert await quote.outcome() == Completed(7)
        with pytest.raises(NotAllowed, match=r"has ended, but Order\.one, which started it, may still undo it"):
            await running.runtime.delete(Quote, quote.id)
        await running.runtime.signal(Order, "one", Order.go, "on")
        await (await running.runtime.get(Order, "one")).outcome()
        await running.runtime.delete(Quote, quote.id)
