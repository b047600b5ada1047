"""A child ends as its parent needs it: done, cancelled, undone, or never started."""

from __future__ import annotations

import json
from typing import Any

import trio
import trio.testing
from sagakit import (
    Completed,
    Context,
    Failed,
    Saga,
    child,
    step,
)
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.system.deliveries import CALM, Deliver, Insure, Order, Packed, child_of, deliver
from tests.system.families import Hangs, Leaf, Middle, Top, all_retired
from tests.system.members import killable, member, stands, until_ended

Clock = trio.testing.MockClock


async def test_a_child_that_fails_turns_its_parent_back(autojump_clock: Clock) -> None:
    log, outcome = await deliver(Order(parcels=1, refuse="buy"))
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code, outcome.step) == ("rejected", "uninsurable", "insured")
    assert log == ["reserve", "label 0", "quote", "buy", "unquote", "void 0 L0", "release"]


async def test_a_completed_child_is_reversed_with_its_parent(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log, outcome = await deliver(Order(parcels=1, refuse="send"), server=server)
    assert isinstance(outcome, Failed)
    assert outcome.code == "strike"
    assert log[3:] == ["buy", "send", "give_back", "unquote", "void 0 L0", "release"]
    child = stands(server, "SAGA_ARCHIVE", child_of(server))
    assert child is not None
    assert child["status"] == "failed"


async def test_a_running_child_is_cancelled_with_its_parent(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log: list[str] = []
    async with member(server, Deliver(log), Insure(log), **CALM) as running:
        handle = await running.runtime.start(Deliver, "one", Order(hang="buy"))
        await running.runtime.signal(Deliver, "one", Deliver.packed, Packed([1]))
        await trio.sleep(600)
        assert log[-1] == "buy"
        await handle.cancel("no more")
        outcome = await handle.outcome()
        await running.retired()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "cancelled"
    assert log[-4:] == ["give_back", "unquote", "void 1 L1", "release"]


async def test_a_child_that_never_started_cannot_start_late(autojump_clock: Clock) -> None:
    """The parent is cancelled while the child's start hangs. The worker dies; the next owner forestalls the start."""
    server = MemoryServer()
    log: list[str] = []
    async with killable() as start:
        first = await start(server, Deliver(log), Insure(log), **CALM)

        async def hang(call: Any, record: Any, child_type: str) -> Any:
            await trio.sleep_forever()

        first.worker.environment.children.call = hang  # type: ignore[method-assign]
        handle = await first.runtime.start(Deliver, "one", Order(parcels=1))
        await first.runtime.signal(Deliver, "one", Deliver.packed, Packed([1]))
        await trio.sleep(10)
        assert (await record_of(handle)).steps["insured"].state == "running"
        await handle.cancel("no more")
        first.kill()
        second = await start(server, Deliver(log), Insure(log), **CALM)
        with trio.fail_after(1000):
            outcome = await (await second.runtime.get(Deliver, "one")).outcome()
        await second.retired()
    assert isinstance(outcome, Failed)
    assert "quote" not in log
    assert log[-2:] == ["void 1 L1", "release"]
    marker = stands(server, "SAGA_STATE", child_of(server))
    assert marker is not None
    assert marker["outcome"] == "failed"


async def test_closing_does_not_wait_for_a_childs_release(autojump_clock: Clock) -> None:
    """The parent ends while the worker closes. The release is durable, and the next worker sends it."""
    server = MemoryServer()
    server.faults.order(StoreFault(kind="slow", key="saga.Family.completed", delay=1.0))
    async with member(server, Family(), Insure([])) as running:
        assert await running.runtime.execute(Family, "one", Order()) == Completed("policy-7")
        began = trio.current_time()
    assert trio.current_time() - began < 2
    async with member(server, Family(), Insure([])):
        await until_ended(server, "Family.one")
        await until_ended(server, child_of(server))
    assert server.inbox == []


class Family(Saga[Order, str]):
    insured = child(Insure, lambda order, ctx: order)

    @step(insured, compensate=None)
    async def sign(self, order: Order, policy: str, ctx: Context) -> str:
        await trio.sleep(5)
        return policy

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Family.sign)


async def test_closing_does_not_wait_for_a_child_that_is_undone_elsewhere(autojump_clock: Clock) -> None:
    """The parent has nothing under way. Its next owner asks the child again."""
    server, hook = MemoryServer(), Hangs("undo_work")
    async with killable() as start:
        leaver = await start(server, Middle(), Top(), drain_timeout=1000.0)
        elsewhere = await start(server, Leaf(hook))
        await leaver.runtime.start(Top, "t", "refuse")
        with trio.fail_after(100):
            while not hook.hung:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        with trio.fail_after(5):
            await leaver.runtime.drain()
        hook.hangs = False
        elsewhere.kill()
        await start(server, Leaf(), Middle(), Top())
        await all_retired(server, 3)
    for bucket in ("Top", "Middle"):
        [ended] = server.bucket("SAGA_ARCHIVE").entries(bucket)
        assert json.loads(ended.value)["recoveries"] == 0
