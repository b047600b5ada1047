"""Side work runs in one task from start to end, with its own context, and never begins after it was cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from math import inf
from typing import Any, NamedTuple

import sniffio
import trio
from sagakit_actors.helpers import KEPT, Helpers, Work
from trio.testing import MockClock

from tests.stale import STALE

VALUE: ContextVar[str] = ContextVar("VALUE", default="unset")


class Ends(NamedTuple):
    """An owner that notes the ends of its work."""

    ends: list[Any]

    def take_result(self, work: Work, result: Any) -> None:
        self.ends.append(result)

    def take_crash(self, work: Work, error: Exception) -> None:
        self.ends.append(error)

    def forget(self, work: Work) -> None:
        self.ends.append("dropped")


class Noted(Work):
    """Work that notes its end."""

    def __init__(self, ends: list[Any], fn: Callable[..., Awaitable[Any]], timeout: float = inf) -> None:
        super().__init__(Ends(ends), repr, fn, (), timeout)


@asynccontextmanager
async def helping() -> AsyncIterator[tuple[Helpers, trio.Nursery]]:
    async with trio.open_nursery() as nursery:
        yield Helpers(nursery), nursery
        nursery.cancel_scope.cancel()


async def test_work_that_never_waits_shares_one_task(autojump_clock: MockClock) -> None:
    async def work() -> trio.lowlevel.Task:
        return trio.lowlevel.current_task()

    ends: list[Any] = []
    async with helping() as (helpers, nursery):
        for _ in range(200):
            helpers.take(Noted(ends, work))
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
    assert len(ends) == 200
    assert len(set(ends)) == 1


async def test_work_that_waits_holds_up_no_other(autojump_clock: MockClock) -> None:
    async def work() -> float:
        await trio.sleep(10)
        return trio.current_time()

    ends: list[Any] = []
    async with helping() as (helpers, nursery):
        for _ in range(3 * KEPT):
            helpers.take(Noted(ends, work))
        await trio.sleep(11)
        assert ends == [10] * 3 * KEPT
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) <= KEPT
        helpers.take(Noted(ends, work))
        await trio.sleep(11)
    assert ends[-1] == 21


async def test_work_begins_in_the_order_in_which_it_was_taken(autojump_clock: MockClock) -> None:
    """Only the beginnings are in order: trio runs the tasks of one turn of its loop in random order."""

    async def work(number: int) -> None:
        begun.append(number)
        if number % 3:
            await trio.sleep(number % 5)

    begun: list[int] = []
    ends: list[Any] = []
    async with helping() as (helpers, _):
        for number in range(1000):
            helpers.take(Noted(ends, partial(work, number)))
            if number % 70 == 0:
                await trio.lowlevel.checkpoint()
        await trio.sleep(10)
    assert begun == list(range(1000))


async def test_work_runs_in_one_task_and_in_a_context_of_its_own(autojump_clock: MockClock) -> None:
    async def work(*, waits: bool) -> tuple[str, ...]:
        first, task = VALUE.get(), trio.lowlevel.current_task()
        VALUE.set("mine")
        assert sniffio.current_async_library() == "trio"
        if waits:
            await trio.sleep(1)
        assert trio.lowlevel.current_task() is task
        return first, VALUE.get()

    VALUE.set("the supervisor's")
    ends: list[Any] = []
    async with helping() as (helpers, _):
        VALUE.set("of the code that hands work in")
        for waits in (False, True, False):
            helpers.take(Noted(ends, partial(work, waits=waits)))
            helpers.take(Noted(ends, partial(work, waits=waits)))
            await trio.sleep(2)
    assert ends == [("the supervisor's", "mine")] * 6


async def test_what_was_cancelled_before_it_began_never_begins(autojump_clock: MockClock) -> None:
    async def work() -> None:
        begun.append(1)

    begun: list[int] = []
    ends: list[Any] = []
    async with helping() as (helpers, _):
        one, other = Noted(ends, work), Noted(ends, work)
        helpers.take(one)
        helpers.take(other)
        one.cancel()
        await trio.testing.wait_all_tasks_blocked()
    assert (begun, ends) == ([1], [None, None])


async def test_a_cancel_meets_no_work_but_its_own(autojump_clock: MockClock) -> None:
    async def work() -> str:
        await trio.sleep(1)
        return "slept"

    async def itself() -> str:
        noted.cancel()
        return "cancelled by itself, and over before it waited"

    ends: list[Any] = []
    async with helping() as (helpers, _):
        noted = Noted(ends, itself)
        helpers.take(noted)
        helpers.take(Noted(ends, work))
        late = Noted(ends, work)
        helpers.take(late)
        await trio.sleep(0.5)
        late.cancel()
        await trio.sleep(2)
        late.cancel()
        helpers.take(Noted(ends, work))
        await trio.sleep(2)
    assert ends == ["cancelled by itself, and over before it waited", None, "slept", "slept"]


async def test_time_counts_from_its_own_beginning(autojump_clock: MockClock) -> None:
    async def work() -> float:
        deadlines.append(trio.current_effective_deadline())
        await trio.sleep(7)
        return trio.current_time()

    deadlines: list[float] = []
    ends: list[Any] = []
    async with helping() as (helpers, _):
        for timeout in (5, 10, inf):
            helpers.take(Noted(ends, work, timeout))
        await trio.sleep(20)
    assert deadlines == [5, 10, inf]
    assert ends == [None, 7, 7]


async def test_an_error_is_its_own(autojump_clock: MockClock) -> None:
    async def bad() -> None:
        raise RuntimeError("at once")

    async def worse() -> None:
        await trio.sleep(1)
        raise RuntimeError("later")

    async def good() -> str:
        return "good"

    ends: list[Any] = []
    async with helping() as (helpers, _):
        for work in (bad, good, worse, good):
            helpers.take(Noted(ends, work))
        await trio.sleep(2)
    assert [repr(end) for end in ends] == [
        "RuntimeError('at once')", "'good'", "'good'", "RuntimeError('later')",
    ]  # fmt: skip


async def test_a_scope_left_open_harms_nobody_else(autojump_clock: MockClock) -> None:
    async def leaves_a_scope_open() -> None:
        left.append(trio.move_on_after(0))
        left[0].__enter__()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def sleeps() -> str:
        await trio.sleep(5)
        return "slept"

    left: list[trio.CancelScope] = []
    ends: list[Any] = []
    async with helping() as (helpers, _):
        helpers.take(Noted(ends, leaves_a_scope_open))
        for _ in range(3):
            helpers.take(Noted(ends, sleeps))
        await trio.sleep(20)
    assert isinstance(ends[0], RuntimeError)
    assert ends[1:] == ["slept"] * 3


async def test_work_under_way_is_dropped_with_the_helpers(autojump_clock: MockClock) -> None:
    ends: list[Any] = []
    async with helping() as (helpers, _):
        helpers.take(Noted(ends, trio.sleep_forever))
        await trio.sleep(1)
    assert ends == ["dropped"]


async def test_a_cancellation_that_is_not_the_helpers_own_is_a_crash(autojump_clock: MockClock) -> None:
    async def raises_it() -> None:
        raise STALE

    async def works() -> str:
        return "done"

    ends: list[Any] = []
    async with helping() as (helpers, _):
        for fn in (raises_it, works):
            helpers.take(Noted(ends, fn))
            await trio.testing.wait_all_tasks_blocked()
    assert isinstance(ends[0], RuntimeError)
    assert ends[0].__cause__ is STALE
    assert ends[1] == "done"
