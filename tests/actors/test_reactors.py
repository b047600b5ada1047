"""Reactors: side work that is piped back, promises, turns, and what is left of them."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FunctionType
from typing import Any

import pytest
import trio
import trio.testing
from sagakit_actors import ActorDied, Down, Reactor, ReactorContext, ReactorSpec, Ref, Reply
from sagakit_actors.reactor import BATCH, ReactorCell

from tests.actors.parts import dynamic

pytestmark = pytest.mark.usefixtures("quiet_crashes")

Clock = trio.testing.MockClock


class Piping(Reactor[Any]):
    """Pipes each function that it is told to itself, and keeps the results."""

    def __init__(self, results: list[Any], timeout: float) -> None:
        self.results = results
        self.timeout = timeout

    def begin(self, ctx: ReactorContext[Any]) -> None:
        self.ctx = ctx

    def react(self, messages: list[Any]) -> bool:
        for message in messages:
            if message == "crash":
                raise RuntimeError("told to")
            if isinstance(message, FunctionType):
                self.ctx.pipe_to_self(lambda result: ("result", result), message, timeout=self.timeout)
            elif not isinstance(message, Down):
                self.results.append((trio.current_time(), *message))
        return True


@asynccontextmanager
async def piping(results: list[Any], timeout: float = 10.0) -> AsyncIterator[Ref[Any]]:
    """Run a reactor that pipes."""
    async with dynamic() as supervisor:
        yield supervisor.start_reactor(
            ReactorSpec("piping", lambda: Piping(results, timeout), restart="transient", shutdown=100.0)
        )


async def test_a_side_task_is_piped_back(autojump_clock: Clock) -> None:
    async def work() -> str:
        await trio.sleep(3)
        return "done"

    results: list[Any] = []
    async with piping(results) as ref:
        await ref.tell(work)
        await ref.tell(work)
        await trio.sleep(5)
    assert results == [(3, "result", "done")] * 2


async def test_a_side_task_that_takes_too_long_is_cancelled(autojump_clock: Clock) -> None:
    results: list[Any] = []
    async with piping(results) as ref:
        await ref.tell(trio.sleep_forever)
        await trio.sleep(50)
    assert results == [(10, "result", None)]


async def test_a_side_task_that_raises_crashes_the_incarnation(autojump_clock: Clock) -> None:
    async def work() -> str:
        await trio.sleep(3)
        raise RuntimeError("in the side task")

    results: list[Any] = []
    async with piping(results) as ref:
        await ref.tell(work)
        await trio.sleep(50)
        assert ref.incarnation == 2
    assert results == []


async def test_no_incarnation_begins_before_the_side_tasks_of_the_last_have_ended(autojump_clock: Clock) -> None:
    async def slow_to_go() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(20)
            ended.append(trio.current_time())

    ended: list[float] = []
    async with piping([], timeout=1000.0) as ref:
        await ref.tell(slow_to_go)
        await trio.testing.wait_all_tasks_blocked()
        await ref.tell("crash")
        await trio.sleep(19)
        assert (ended, ref.incarnation) == ([], 1)
        await trio.sleep(10)
        assert (ended, ref.incarnation) == ([20], 2)
        await ref.tell(slow_to_go)
        await trio.testing.wait_all_tasks_blocked()
    assert ended == [20, 49], "closing cancelled it and waited for it"


class Promising(Reactor[Any]):
    """Makes a promise as it begins, and keeps it with its first message."""

    def __init__(self, promises: list[Reply[str]]) -> None:
        self.promises = promises

    def begin(self, ctx: ReactorContext[Any]) -> None:
        self.promises.append(ctx.promise())

    def react(self, messages: list[Any]) -> bool:
        if "crash" in messages:
            raise RuntimeError("told to")
        self.promises[-1].send(messages[0])
        return True


async def test_a_promise_is_kept_or_fails_with_the_incarnation(autojump_clock: Clock) -> None:
    promises: list[Reply[str]] = []
    async with dynamic() as supervisor:
        ref = supervisor.start_reactor(ReactorSpec("promising", lambda: Promising(promises), restart="transient"))
        await ref.tell("crash")
        with pytest.raises(ActorDied, match="#1 ended before it answered"):
            await promises[0].wait()
        await trio.sleep(5)
        await ref.tell("kept")
        assert await promises[1].wait() == "kept"


async def test_a_busy_reactor_lets_others_have_their_turn(autojump_clock: Clock) -> None:
    class Busy(Reactor[int]):
        def begin(self, ctx: ReactorContext[int]) -> None:
            self.ref = ctx.ref
            self.ref.signal(5000)

        def react(self, messages: list[int | Down]) -> bool:
            [left] = messages
            assert isinstance(left, int)
            self.ref.signal(left - 1)
            if left == 0:
                done.set()
            return left > 0

    turns, done = 0, trio.Event()
    async with dynamic() as supervisor:
        supervisor.start_reactor(ReactorSpec("busy", Busy, restart="temporary"))
        while not done.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns > 5000 / 100


@pytest.mark.parametrize("count", [BATCH, BATCH + 1, 2 * BATCH])
@pytest.mark.parametrize("more", [[], ["a", "b"]])
async def test_each_call_brings_messages(count: int, more: list[str], autojump_clock: Clock) -> None:
    """A reactor is not called without them: neither for those that came during a call, nor for those left behind."""

    class Counting(Reactor[int | str]):
        def begin(self, ctx: ReactorContext[int | str]) -> None:
            self.ref = ctx.ref
            for number in range(count):
                self.ref.signal(number)

        def react(self, messages: list[int | str | Down]) -> bool:
            calls.append(messages)
            if messages[-1] == count - 1:
                for message in more:
                    self.ref.signal(message)
            return True

    calls: list[list[Any]] = []
    async with dynamic() as supervisor:
        supervisor.start_reactor(ReactorSpec("counting", Counting))
        await trio.testing.wait_all_tasks_blocked()
    assert [message for messages in calls for message in messages] == [*range(count), *more]
    assert all(calls)
    assert max(map(len, calls)) == BATCH


async def test_a_reactor_takes_what_its_waiting_senders_have(autojump_clock: Clock) -> None:
    """Their messages come in while it takes others, when nobody is there to announce them."""

    class Keeping(Reactor[int]):
        def react(self, messages: list[int | Down]) -> bool:
            calls.append(messages)
            return True

    calls: list[list[int | Down]] = []
    async with dynamic() as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.start_reactor(ReactorSpec("keeping", Keeping, capacity=2))
        for number in range(7):
            nursery.start_soon(ref.tell, number)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(message for messages in calls for message in messages) == [*range(7)]
        assert all(calls)


class Short(Reactor[Any]):
    """Ends with its first message."""

    def react(self, messages: list[Any]) -> bool:
        return False


async def test_a_reactor_that_has_gone_leaves_nothing_to_the_garbage_collector() -> None:
    """Thousands of them come and go, and what waits for the collector costs memory and pauses."""
    async with dynamic() as supervisor:
        gc.collect()
        gc.disable()
        try:
            for number in range(5):
                await supervisor.start_reactor(ReactorSpec(str(number), Short, restart="temporary")).tell("anything")
            await trio.testing.wait_all_tasks_blocked()
            assert supervisor.count_children() == 0
            # the task that calls reactors may still hold the last one
            assert sum(isinstance(found, ReactorCell) for found in gc.get_objects()) <= 1
        finally:
            gc.enable()
