"""A call that is intended and still waits for its turn when its saga turns back is never made (P2)."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Context, Failed, Limit, Reject, RetryPolicy, Saga, child, step
from sagakit.binding.limiters import Limiters
from sagakit.binding.permit import CallPermit, CallRevoked
from sagakit.binding.saga_binding import REVOKED, SagaBinding
from sagakit.engine import Call, create
from sagakit.store.memory_server import MemoryServer

from tests.system.members import member, suffixes

Clock = trio.testing.MockClock
ONE = Limit("one", max_concurrent=1)


class Twofold(Saga[str]):
    """Two branches after one step: `scarce` waits for its turn, `quick` refuses a second later."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.turn = trio.Event()

    @step(retry=RetryPolicy(max_attempts=1))
    async def begin(self, input: str, ctx: Context) -> None:
        self.calls.append(f"begin {ctx.saga_id}")

    @begin.compensate
    async def undo_begin(self, input: str, left: None, ctx: Context) -> None:
        self.calls.append(f"undo {ctx.saga_id}")

    @step(begin, compensate=None, limit=ONE, timeout=timedelta(hours=1))
    async def scarce(self, input: str, begun: None, ctx: Context) -> None:
        self.calls.append(f"scarce {ctx.saga_id}")
        await self.turn.wait()

    @step(begin, compensate=None)
    async def quick(self, input: str, begun: None, ctx: Context) -> None:
        await trio.sleep(1)
        if input == "refused":
            raise Reject("refused")


async def test_p2_a_call_that_waits_for_its_quota_is_withdrawn_when_the_saga_turns_back(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), Twofold()
    async with member(server, saga) as running:
        first = await running.runtime.start(Twofold, "first", "fine")
        await trio.sleep(0.1)
        outcome = await running.runtime.execute(Twofold, "second", "refused")
        assert trio.current_time() == pytest.approx(1.1, abs=0.1), "P2: it waited for the turn of what is not wanted"
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.compensated) == ("refused", ("begin",))
        saga.turn.set()
        await first.outcome()
    assert saga.calls == ["begin first", "scarce first", "begin second", "undo second"]
    assert suffixes(server, "second")[-2:] == ["step.begin.undone", "failed"]
    assert "step.scarce" not in suffixes(server, "second")
    assert "step.scarce" in suffixes(server, "first")


class Threaded(Saga[str]):
    """Two branches: `scarce` waits for one of the worker's threads, `quick` for the test."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.occupied = trio.Event()
        self.word = trio.Event()
        self.turn = threading.Event()

    @step(compensate=None, on_unknown="ask")
    def scarce(self, input: str, ctx: Context) -> None:
        self.calls.append(ctx.saga_id)
        trio.from_thread.run_sync(self.occupied.set)
        self.turn.wait()

    @step(compensate=None, after=())
    async def quick(self, input: str, ctx: Context) -> None:
        if input == "refused":
            await self.word.wait()
            raise Reject("refused")


async def test_p2_a_call_that_waits_for_a_thread_is_not_made_when_the_saga_turns_back() -> None:
    """Turning back does not wait for the thread, and does not treat the call as in doubt."""
    server, saga = MemoryServer(), Threaded()
    async with member(server, saga, threads=True, max_threads=1) as running:
        first = await running.runtime.start(Threaded, "first", "fine")
        with trio.fail_after(60):
            await saga.occupied.wait()
        second = await running.runtime.start(Threaded, "second", "refused")
        saga.word.set()
        try:
            with trio.fail_after(60):
                assert isinstance(await second.outcome(), Failed)
        finally:
            saga.turn.set()
        await first.outcome()
    assert saga.calls == ["first"], "P2: what was not wanted any more was called"


class Parent(Saga[str]):
    """A saga that starts a child at once, and makes a call that counts against a quota."""

    kid = child(Twofold, lambda input, ctx: input)

    @step(compensate=None, after=(), limit=ONE)
    async def limited(self, input: str, ctx: Context) -> None: ...


@pytest.mark.parametrize("name", ["limited", "kid"])
async def test_a_call_that_is_revoked_before_its_turn_waits_for_nothing(name: str) -> None:
    binding, limiters = SagaBinding(Parent()), Limiters([ONE])
    record = create(binding.plan, saga_id="1", run="r", input=msgspec.Raw(b'"x"'), owner="w", now=0.0)
    call = Call(step=name, kind="do", call=1, key="k", action_key="k", attempt=1, timeout=60.0)
    permit = CallPermit(1)
    permit.revoke()
    services: Any = SimpleNamespace(limiters=limiters)
    async with limiters.of(ONE):
        with trio.fail_after(60):
            assert await binding.perform(call, record, services, permit) is REVOKED


async def test_a_call_that_stops_waiting_for_its_turn_gives_the_turn_back(autojump_clock: Clock) -> None:
    limit = Limit("paced", per_second=1)
    limiters = Limiters([limit])

    async def call() -> None:
        async with limiters.of(limit):
            pass

    async with trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(call)
        await trio.sleep(2.5)
        nursery.cancel_scope.cancel()
    await call()
    assert trio.current_time() == pytest.approx(3.0, abs=0.01)


async def test_a_permit_is_checked_when_the_call_is_made() -> None:
    calls: list[str] = []

    async def fn(name: str) -> str:
        calls.append(name)
        return name

    used, withdrawn = CallPermit(1), CallPermit(2)
    before, after = withdrawn.with_coroutine(fn)("withdrawn"), used.with_coroutine(fn)("used")
    withdrawn.revoke()
    with pytest.raises(CallRevoked):
        await before
    assert await after == "used"
    used.revoke()
    assert not used.is_revoked(), "too late"
    assert await used.with_coroutine(fn)("again") == "again"
    assert calls == ["used", "again"]
