"""A create that takes effect after another run of the same id has come and gone starts no second run (P10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed
from sagakit.errors import Undecodable
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write
from sagakit.system.config import Config
from sagakit.system.inbound.starts import Starts
from sagakit.system.io.persistence import Persistence

from tests.sagas import BookTrip, Trip
from tests.system.members import Member, bounded, crash, killable, member, stands, suffixes, wall_clock

Clock = trio.testing.MockClock
KEY = "BookTrip.one"
GONE = 2 * Config().marker_ttl
ONCE = ["started", "step.hotel", "step.flight", "step.tickets", "completed"]
HOUR = 3600.0

others_clock = pytest.mark.parametrize("ahead", [0.0, HOUR, -HOUR], ids=["right", "ahead", "behind"])
"""Seconds by which the clock of the worker with the other run is wrong; the late worker's clock is right."""


def by(seconds: float) -> Callable[[], float]:
    """Return a clock that is ahead by these seconds."""
    return lambda: wall_clock() + seconds


@others_clock
@pytest.mark.parametrize("marker_ttl", [Config().marker_ttl, 3600.0])
async def test_p10_a_create_that_is_acknowledged_late_meets_the_run_that_has_ended(
    marker_ttl: float, ahead: float, autojump_clock: Clock
) -> None:
    """The lifetime of markers and wrong clocks of other workers make no difference."""
    server, late, other = MemoryServer(), BookTrip(), BookTrip()
    ended: list[object] = []

    async def start_and_wait() -> None:
        handle = await one.runtime.start(BookTrip, "one", Trip())
        ended.append(await handle.outcome())

    async with (
        member(server, late, marker_ttl=marker_ttl) as one,
        member(server, other, now=by(ahead)) as two,
        bounded(),
    ):
        server.faults.order(StoreFault(kind="slow", key=KEY, delay=GONE))
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


async def test_p12_a_late_acknowledged_create_continues_if_there_was_no_other_run(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running, bounded():
        server.faults.order(StoreFault(kind="slow", key=KEY, delay=GONE))
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        await running.retired()
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert (record["epoch"], record["recoveries"]) == (1, 0)
    assert len(saga.calls) == 3


async def test_p11_a_late_create_over_an_unreadable_record_is_reported_and_runs_nothing(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()

    async def spoil() -> None:
        await trio.sleep(1)
        server.bucket("SAGA_ARCHIVE").write(Write(KEY, b"{not json", 0))

    async with member(server, saga) as running, bounded(), trio.open_nursery() as nursery:
        server.faults.order(StoreFault(kind="slow", key=KEY, delay=GONE))
        nursery.start_soon(spoil)
        with pytest.raises(Undecodable, match="not a record of this saga"):
            await running.runtime.start(BookTrip, "one", Trip())
        await trio.sleep(GONE)
    assert saga.calls == []


@others_clock
async def test_p10_a_late_create_whose_worker_has_died_is_not_adopted(ahead: float, autojump_clock: Clock) -> None:
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
            two = await start(server, other, now=by(ahead))
            assert await two.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
            await trio.sleep(GONE)
            assert stands(server, "SAGA_STATE", KEY) is None, "the marker has gone"
            server.bucket("SAGA_STATE").write(Write(KEY, creates[0], 0))  # the create was under way all the time
            await two.runtime.scan()
            await trio.sleep(GONE / 3)
            assert "ended" in (stands(server, "SAGA_STATE", KEY) or {})
            nursery.cancel_scope.cancel()
    assert late.calls == []
    assert len(other.calls) == 3
    assert suffixes(server, "one") == ONCE


@pytest.mark.usefixtures("quiet_crashes")
@others_clock
async def test_p10_a_late_create_whose_actors_have_crashed_is_not_taken_over(
    ahead: float, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next incarnation finds a record of its own worker, and nothing says that it came late."""
    server, late, other = MemoryServer(), BookTrip(), BookTrip()

    async def freeze_after_the_look(self: Starts, key: str) -> Any:
        found = await look(self, key)
        if self._store is one.store and not crashes:
            one.store.freeze()
        return found

    async def crash_both(self: Persistence, *args: Any) -> None:
        crashes.append(args)
        if len(crashes) == 1:
            crash(one, KEY)
            raise RuntimeError("a bug, too")
        await confirm(self, *args)

    crashes: list[Any] = []
    look, confirm = Starts._known, Persistence._confirm
    monkeypatch.setattr(Starts, "_known", freeze_after_the_look)
    monkeypatch.setattr(Persistence, "_confirm", crash_both)
    async with member(server, late) as one, member(server, other, now=by(ahead)) as two, bounded():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.runtime.start, BookTrip, "one", Trip())
            await trio.sleep(1)
            assert await two.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
            await trio.sleep(GONE)
            assert stands(server, "SAGA_STATE", KEY) is None, "the marker has gone"
            one.store.thaw()
        await one.retired()
    assert crashes
    assert late.calls == []
    assert len(other.calls) == 3
    assert suffixes(server, "one") == ONCE


async def deleted(worker: Member) -> None:
    await worker.retired()
    await worker.runtime.delete(BookTrip, "one")


async def test_p10_a_late_create_continues_if_the_other_run_was_deleted(autojump_clock: Clock) -> None:
    """The id is free, whether the delete came before the create or while it was under way."""
    server, late, other = MemoryServer(), BookTrip(), BookTrip()
    async with member(server, late) as one, member(server, other) as two, bounded():
        await two.runtime.execute(BookTrip, "one", Trip())
        await deleted(two)
        server.faults.order(StoreFault(kind="slow", key=KEY, delay=GONE))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.runtime.execute, BookTrip, "one", Trip())
            await trio.sleep(1)
            await two.runtime.execute(BookTrip, "one", Trip())
            await deleted(two)
        await one.retired()
    assert len(other.calls) == 6
    assert len(late.calls) == 3
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert record["owner"] == one.runtime.worker_id


async def test_p10_a_run_that_ends_leaves_another_runs_record_in_the_archive(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither record is lost: the live one stays until an operator has looked."""
    server, saga, elsewhere = MemoryServer(), BookTrip(), MemoryServer()
    async with member(elsewhere, BookTrip()) as away:
        await away.runtime.execute(BookTrip, "one", Trip())
        await away.retired()
    other = elsewhere.bucket("SAGA_ARCHIVE").read(KEY)
    assert other is not None
    async with member(server, saga, drain_timeout=0.0) as running, bounded():
        await running.runtime.start(BookTrip, "one", Trip())
        server.bucket("SAGA_ARCHIVE").write(Write(KEY, other.value, 0))
        await trio.sleep(100)
        archived = server.bucket("SAGA_ARCHIVE").read(KEY)
        assert archived is not None
        assert archived.value == other.value
        live = stands(server, "SAGA_STATE", KEY)
        assert live is not None
        assert live["status"] == "completed"
        errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
        assert len(errors) == 1
        assert "nats kv purge SAGA_ARCHIVE BookTrip.one" in errors[0]
        server.bucket("SAGA_ARCHIVE").purge(KEY)
        await running.retired()
    archived = server.bucket("SAGA_ARCHIVE").read(KEY)
    assert archived is not None
    assert running.runtime.worker_id.encode() in archived.value


async def test_p10_a_delete_marker_in_the_archive_causes_no_flood_of_requests(autojump_clock: Clock) -> None:
    """An operator has used `nats kv del`."""
    server, saga = MemoryServer(), BookTrip()
    server.bucket("SAGA_ARCHIVE").write(Write(KEY, b"", None), delete=True)
    async with member(server, saga) as running, bounded():
        await running.runtime.start(BookTrip, "one", Trip())
        await trio.sleep(10)
        before = running.store.messages_sent
        await trio.sleep(10)
        assert running.store.messages_sent - before < 200
        await running.retired()
    assert stands(server, "SAGA_ARCHIVE", KEY) is not None
