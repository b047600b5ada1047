"""P10: a create that takes effect after another run of the same id has come and gone, with its end marker."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit import Completed
from sagakit.errors import Undecodable
from sagakit.store.faults import Fault, Watched
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write
from sagakit.system.config import Config

from tests.sagas import BookTrip, Trip
from tests.system.members import killable, member, stands, suffixes
from tests.system.test_ownership import bounded

Clock = trio.testing.MockClock
KEY = "BookTrip.one"
GONE = 2 * Config().marker_ttl
ONCE = ["started", "step.hotel", "step.flight", "step.tickets", "completed"]


@pytest.mark.parametrize("marker_ttl", [Config().marker_ttl, 3600.0])
async def test_p10_a_create_that_is_acknowledged_late_meets_the_run_that_has_ended(
    marker_ttl: float, autojump_clock: Clock
) -> None:
    """Also if it takes the others' markers to stand longer than they do."""
    server, late, other = MemoryServer(), BookTrip(), BookTrip()
    ended: list[object] = []

    async def start_and_wait() -> None:
        handle = await one.runtime.start(BookTrip, "one", Trip())
        ended.append(await handle.outcome())

    async with member(server, late, marker_ttl=marker_ttl) as one, member(server, other) as two, bounded():
        server.faults.order(Fault(kind="slow", key=KEY, delay=GONE))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start_and_wait)
            await trio.sleep(1)
            assert await two.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
            await trio.sleep(GONE - 2)
            assert stands(server, "SAGA_STATE", KEY) is None, "the marker has gone"
            assert ended == []
        assert server.faults.left == []
        assert ended == [Completed("tickets-Rome")]
        assert "ended" in (stands(server, "SAGA_STATE", KEY) or {})
    assert late.calls == []
    assert len(other.calls) == 3
    assert suffixes(server, "one") == ONCE


async def test_p12_a_create_that_is_acknowledged_late_goes_on_if_there_was_none(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running, bounded():
        server.faults.order(Fault(kind="slow", key=KEY, delay=GONE))
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        await running.retired()
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert (record["epoch"], record["recoveries"]) == (1, 0)
    assert len(saga.calls) == 3


async def test_p11_a_late_create_over_what_cannot_be_read_is_told_and_runs_nothing(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()

    async def spoil() -> None:
        await trio.sleep(1)
        server.bucket("SAGA_ARCHIVE").write(Write(KEY, b"{not json", 0))

    async with member(server, saga) as running, bounded(), trio.open_nursery() as nursery:
        server.faults.order(Fault(kind="slow", key=KEY, delay=GONE))
        nursery.start_soon(spoil)
        with pytest.raises(Undecodable, match="not a record of this saga"):
            await running.runtime.start(BookTrip, "one", Trip())
        await trio.sleep(GONE)
    assert saga.calls == []


async def test_p10_a_late_create_whose_worker_has_died_is_not_adopted(autojump_clock: Clock) -> None:
    server, late, other = MemoryServer(), BookTrip(), BookTrip()
    creates: list[bytes] = []

    def keep(write: Watched) -> None:
        if write.where == "state" and write.key == KEY and not creates:
            creates.append(write.value)
            one.kill()

    async with killable() as start, bounded():
        one = await start(server, late)
        server.faults.before_write = keep
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.runtime.start, BookTrip, "one", Trip())
            await trio.sleep(1)
            server.faults.before_write = None
            two = await start(server, other)
            assert await two.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
            await trio.sleep(GONE)
            assert stands(server, "SAGA_STATE", KEY) is None, "the marker has gone"
            server.bucket("SAGA_STATE").write(Write(KEY, creates[0], 0))  # it was on its way all the time
            await two.runtime.scan()
            await trio.sleep(GONE / 3)
            assert "ended" in (stands(server, "SAGA_STATE", KEY) or {})
            nursery.cancel_scope.cancel()
    assert late.calls == []
    assert len(other.calls) == 3
    assert suffixes(server, "one") == ONCE
