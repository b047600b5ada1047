"""The next incarnation of a crashed saga actor keeps what it must and ignores answers to the one before."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Saga, signal, step
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.system.members import crash, member, stands, until_ended

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("quiet_crashes")


async def test_an_acknowledgment_for_the_last_incarnation_is_not_taken_as_an_answer_to_this_one(
    autojump_clock: Clock,
) -> None:
    """Both were the first operation of an incarnation. An acknowledgment read as a record looks like a deleted saga."""
    server, saga = MemoryServer(), BookTrip()
    server.faults.order(StoreFault(kind="slow", key="BookTrip.one", delay=2.0))
    async with member(server, saga, scan_interval=36000.0, lease_ttl=3600.0) as worker, trio.open_nursery() as nursery:
        nursery.start_soon(worker.runtime.start, BookTrip, "one", Trip())
        await trio.sleep(1)
        crash(worker, "BookTrip.one")
        with trio.fail_after(100):
            await until_ended(server, "BookTrip.one")


class Hears(Saga[int, str]):
    """A saga with a step that takes time, in parallel with a signal."""

    said = signal(str, after=())

    @step(after=(), compensate=None, timeout=timedelta(seconds=60))
    async def slow(self, number: int, ctx: Context) -> None:
        await trio.sleep(20)

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Hears.said)


async def test_a_message_during_a_repeated_read_gets_its_own_verdict(autojump_clock: Clock) -> None:
    """The write of the take-over does not contain the message, so its result must not answer it."""
    server = MemoryServer()
    async with member(server, Hears()) as worker:
        handle = await worker.runtime.start(Hears, "h", 1)
        await trio.sleep(1)
        crash(worker, "Hears.h")
        await worker.runtime.signal(Hears, "h", Hears.said, "hello")
        assert await handle.outcome() == Completed("hello")


class Three(Saga[int, None]):
    def __init__(self) -> None:
        self.calls: list[str] = []

    @step(compensate=None, timeout=timedelta(seconds=60))
    async def first(self, number: int, ctx: Context) -> None:
        self.calls.append("first")
        await trio.sleep(3)

    @step(first, compensate=None)
    async def second(self, number: int, first: None, ctx: Context) -> None:
        self.calls.append("second")


async def test_a_new_incarnation_during_a_drain_begins_no_attempt(autojump_clock: Clock) -> None:
    """The worker leaves while the first step is under way, and then the actor crashes."""
    server, saga = MemoryServer(), Three()
    async with trio.open_nursery() as nursery, member(server, saga, drain_timeout=60.0) as worker:
        await worker.runtime.start(Three, "t", 1)
        await trio.sleep(1)

        async def later() -> None:
            await trio.sleep(1)
            crash(worker, "Three.t")

        nursery.start_soon(later)
    record = stands(server, "SAGA_STATE", "Three.t")
    assert record is not None
    assert "second" not in saga.calls
    assert record["status"] == "running"


class Fragile(msgspec.Struct, frozen=True):
    size: int

    def __post_init__(self) -> None:
        assert self.size > 0


class Takes(Saga[int, None]):
    fragile = signal(Fragile)


async def test_a_payload_that_its_own_type_refuses_is_refused_for_good(autojump_clock: Clock) -> None:
    """The actor does not crash and so is not handed the message again. The record keeps the verdict."""
    async with member(MemoryServer(), Takes()) as worker:
        handle = await worker.runtime.start(Takes, "f", 1)
        payload = msgspec.Raw(b'{"size": 0}')
        verdict = await worker.runtime.apply("Takes.f", "signal", step="fragile", payload=payload)
        record = await record_of(handle)
    assert verdict.startswith("refused: the payload is not what fragile takes")
    assert ([known.verdict for known in record.inbound], record.epoch) == ([verdict], 1)


async def test_a_caller_that_stops_waiting_for_the_end_does_not_keep_the_actor(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Takes()) as worker:
        await worker.runtime.start(Takes, "f", 1)
        with trio.move_on_after(0.5):
            await worker.worker.requests.ended("Takes.f")
        await trio.sleep(100)
        assert worker.worker.sagas.passivated == 1


async def test_an_attempt_cut_off_by_the_drain_timeout_is_left_to_others(autojump_clock: Clock) -> None:
    """The lease is handed back, so others need not wait until it expires."""
    server = MemoryServer()
    async with member(server, Three(), drain_timeout=1.0) as worker:
        await worker.runtime.start(Three, "t", 1)
    lease = stands(server, "SAGA_WORKERS", worker.worker.environment.worker_id)
    assert lease is not None
    assert lease["handed_back"] is True
