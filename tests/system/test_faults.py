"""Every saga ends correctly, and no call is repeated, when one write fails or one actor is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import trio
import trio.testing
from sagakit import Completed, Failed
from sagakit.errors import StoreFull
from sagakit.store.faults import FaultKind, StoreFault
from sagakit.store.memory_server import MemoryServer
from sagakit.system.io.operations import Put
from sagakit.system.io.persistence import Persistence
from sagakit.system.io.publisher import Publisher
from sagakit.system.saga.saga_actor import SagaActor
from sagakit.system.timers import Timers

from tests.looks import record_of, settled
from tests.sagas import BookTrip, Trip
from tests.system.members import member, stands, suffixes

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("quiet_crashes")
KEY = "BookTrip.one"
DONE = ["started", "step.hotel", "step.flight", "step.tickets", "completed"]
UNDONE = ["started", "step.hotel", "compensating", "step.hotel.undone", "failed"]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


async def run_both(server: MemoryServer) -> tuple[BookTrip, list[object]]:
    """Run one saga that completes and one that is compensated, and check their archive, markers and events."""
    saga = BookTrip()
    async with member(server, saga) as running:
        outcomes: list[object] = []
        for id, trip in (("one", Trip()), ("two", Trip(refuse="flight"))):
            with trio.fail_after(1000):
                outcomes.append(await running.runtime.execute(BookTrip, id, trip))
        await running.retired()
    assert suffixes(server, "one") == DONE
    assert suffixes(server, "two") == UNDONE
    for id in ("one", "two"):
        archived, marker = (
            stands(server, "SAGA_ARCHIVE", f"BookTrip.{id}"),
            stands(server, "SAGA_STATE", f"BookTrip.{id}"),
        )
        assert archived is not None
        assert marker is not None
        assert archived["status"] == marker["outcome"]
        assert archived["recoveries"] == 0
    return saga, outcomes


@pytest.mark.parametrize("position", range(6), ids=lambda n: f"write{n}")
@pytest.mark.parametrize("kind", KINDS)
async def test_p8_p9_a_saga_ends_correctly_when_one_write_fails(
    kind: FaultKind, position: int, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    never = StoreFault(kind="slow", key="nobody")
    good = [StoreFault(kind="slow", key=KEY)] * position
    server.faults.order(*good, StoreFault(kind=kind, key=KEY, delay=3.0), never)
    if kind == "full" and position == 0:
        async with member(server, BookTrip()) as running:
            with pytest.raises(StoreFull):
                await running.runtime.start(BookTrip, "one", Trip())
            assert await running.runtime.list_active() == []
        return
    saga, [one, two] = await run_both(server)
    assert server.faults.left == [never], "the fault was never met"
    assert one == Completed("tickets-Rome")
    assert isinstance(two, Failed)
    assert saga.names == ["hotel", "flight", "tickets", "hotel", "flight", "cancel_hotel"], "each call was made once"


@pytest.mark.parametrize("position", range(5), ids=lambda n: f"event{n}")
@pytest.mark.parametrize("kind", KINDS)
async def test_p9_one_event_of_a_saga_goes_wrong(kind: FaultKind, position: int, autojump_clock: Clock) -> None:
    server = MemoryServer()
    subject = f"saga.BookTrip.{DONE[position]}"
    server.faults.order(StoreFault(kind=kind, key=subject, delay=3.0))
    saga, [one, two] = await run_both(server)
    assert server.faults.left == []
    assert one == Completed("tickets-Rome")
    assert isinstance(two, Failed)
    assert len(saga.calls) == 6


@pytest.mark.parametrize("call", ["hotel", "flight", "tickets", "cancel_hotel"])
async def test_p12_an_outage_in_the_middle_of_a_call(call: str, autojump_clock: Clock) -> None:
    server = MemoryServer()

    async def hook(name: str, ctx: Any) -> None:
        if name == call and not begun.is_set():
            server.faults.begin_outage()
            begun.set()

    async def end_it() -> None:
        await begun.wait()
        await trio.sleep(600)
        server.faults.end_outage()

    begun = trio.Event()
    saga = BookTrip(hook)
    async with trio.open_nursery() as nursery, member(server, saga) as running:
        nursery.start_soon(end_it)
        with trio.fail_after(2000):
            one = await running.runtime.execute(BookTrip, "one", Trip())
            two = await running.runtime.execute(BookTrip, "two", Trip(refuse="flight"))
            record = await running.runtime.load(BookTrip, "one")
    assert one == Completed("tickets-Rome")
    assert isinstance(two, Failed)
    assert saga.names == ["hotel", "flight", "tickets", "hotel", "flight", "cancel_hotel"], "P12: it cost an attempt"
    assert (record.epoch, record.recoveries) == (1, 0)
    assert all(log.attempt == 1 for log in record.steps.values())


def once(patch: pytest.MonkeyPatch, cls: type, name: str, at: int) -> list[int]:
    """Make one call of a method raise. Return a list with the number of calls so far; end markers do not count."""
    original: Callable[..., Any] = getattr(cls, name)
    calls = [0]

    def raising(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += not (args and isinstance(args[0], Put) and args[0].ttl is not None)
        if calls[0] == at:
            calls[0] += 1
            raise RuntimeError("planted")
        return original(self, *args, **kwargs)

    patch.setattr(cls, name, raising)
    return calls


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize(("actor", "method"), [(Persistence, "_put"), (Persistence, "_take"), (Publisher, "_queue")])
async def test_a_new_io_actor_is_given_the_work_of_a_lost_one(
    actor: type, method: str, at: int, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = once(monkeypatch, actor, method, at)
    saga, [one, two] = await run_both(MemoryServer())
    assert calls[0] > at, "the crash was never met"
    assert one == Completed("tickets-Rome")
    assert isinstance(two, Failed)
    assert saga.names == ["hotel", "flight", "tickets", "hotel", "flight", "cancel_hotel"]


MET = [("_perform", 4), ("_advance", 5), ("_written", 4), ("_fold_gathered", 3)]


@pytest.mark.parametrize(("method", "at"), [(method, at) for method, most in MET for at in range(1, most + 1)])
async def test_a_saga_actor_that_crashes_continues_from_its_record(
    method: str, at: int, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = once(monkeypatch, SagaActor, method, at)
    server = MemoryServer()
    saga = BookTrip()
    async with member(server, saga) as running:
        with trio.fail_after(1000):
            handle = await running.runtime.start(BookTrip, "one", Trip())
            assert await handle.outcome() == Completed("tickets-Rome")
        await running.retired()
    assert calls[0] > at, "the crash was never met"
    found = [suffix for suffix in suffixes(server, "one") if suffix != "recovered" and "retrying" not in suffix]
    assert found == DONE
    assert len(set(saga.calls)) == 3, "an attempt in doubt was repeated under another key"


async def test_timers_fire_after_the_timers_actor_is_lost(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = once(monkeypatch, Timers, "_set", 1)
    fails = [True]

    async def hook(name: str, ctx: Any) -> None:
        if name == "flight" and fails:
            fails.clear()
            raise RuntimeError("once")

    server = MemoryServer()
    async with member(server, BookTrip(hook)) as running:
        with trio.fail_after(1000):
            assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
    assert calls[0] > 1, "the crash was never met"


async def test_p11_a_saga_whose_actor_crashes_too_often_is_stuck_and_takes_nobody_with_it(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [True] * 2
    perform = SagaActor._perform

    def raising(self: SagaActor) -> None:
        if self._key == KEY and self._journal.record.steps["hotel"].state == "done" and broken:
            broken.pop()
            raise RuntimeError("planted")
        perform(self)

    monkeypatch.setattr(SagaActor, "_perform", raising)
    server = MemoryServer()
    async with member(server, BookTrip(), max_restarts=1, restart_period=1000.0) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip())
        assert await running.runtime.execute(BookTrip, "two", Trip()) == Completed("tickets-Rome")
        with trio.fail_after(1000):
            record = await settled(handle)
        assert record.status == "stuck", "P11: a saga that crashes its actor goes on as if nothing were"
        assert record.stuck is not None
        assert "planted" in record.stuck
        [listed] = (await running.runtime.list(status="stuck")).items
        assert listed.saga_id == "one"
        await trio.sleep(1000)
        assert (await record_of(handle)).version == record.version, "the saga does not move"
        await handle.retry("mended", by="ann")
        with trio.fail_after(1000):
            assert await handle.outcome() == Completed("tickets-Rome")
        await running.retired()
    found = suffixes(server, "one")
    assert found[-1] == "completed"
    assert "stuck" in found
