"""Any exception of a step ends its attempt only; the actor and the other branches are not affected (P3)."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Outcome, Reject, Retry, RetryPolicy, Saga, step
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.stale import STALE
from tests.system.members import member
from tests.system.odd_errors import Odd, Silent

Clock = trio.testing.MockClock
QUICK = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)


class SoldOut(Reject):
    def __init__(self, sku: str) -> None:
        self.sku = sku


class Code(enum.Enum):
    SOLD_OUT = "sold out"


def mistaken(make: Callable[[], Exception], **fields: object) -> Exception:
    """Return an error with fields of the wrong type, as a user's class or a cast may make it."""
    error = make()
    vars(error).update(fields)
    return error


def cyclic() -> Exception:
    ring: list[object] = []
    ring.append(ring)
    return mistaken(lambda: Reject("sold-out"), detail={"ring": ring})


REFUSALS: list[Callable[[], Exception]] = [
    lambda: mistaken(lambda: Reject("x"), code=404),
    lambda: mistaken(lambda: Reject("x"), code=Code.SOLD_OUT),
    lambda: mistaken(lambda: Reject("x"), code="\udc80"),
    lambda: mistaken(lambda: Reject("x"), detail={"file": "\udc80"}),
    lambda: SoldOut("s-7"),
    cyclic,
]
UNKNOWN: list[Callable[[], BaseException]] = [
    Silent,
    lambda: mistaken(lambda: Retry("again"), after=1),
    lambda: mistaken(lambda: Retry("again"), reason="\udc80"),
    lambda: mistaken(lambda: Retry("again"), reason=Silent()),
    lambda: SystemExit("argparse does so"),
    lambda: BaseExceptionGroup("in a nursery", [SystemExit("argparse does so")]),
    asyncio.CancelledError,
    Odd,
    lambda: STALE,
    lambda: BaseExceptionGroup("in a nursery", [STALE, ValueError("beside it")]),
]


class Twins(Saga[int, str]):
    """Two parallel steps: one raises `times` times what it is given, the other waits."""

    def __init__(self, make: Callable[[], BaseException], *, times: int = 1000) -> None:
        self.make = make
        self.times = times
        self.calls: list[str] = []

    @step(after=(), retry=QUICK, compensate=None)
    async def one(self, number: int, ctx: Context) -> str:
        self.calls.append("one")
        await trio.sleep(1)
        if self.calls.count("one") <= self.times:
            raise self.make()
        return "done"

    @step(after=(), retry=QUICK, compensate=None)
    async def other(self, number: int, ctx: Context) -> str:
        self.calls.append("other")
        await trio.sleep(5)
        return "done"

    def output(self, input: int, ctx: Context) -> str:
        return f"{ctx.result(Twins.one)} {ctx.result(Twins.other)}"


async def outcome_of(saga: Saga[int, str]) -> Outcome[str]:
    async with member(MemoryServer(), saga) as worker:
        with trio.fail_after(1000):
            return await worker.runtime.execute(type(saga), "s", 1)


@pytest.mark.parametrize("make", REFUSALS)
async def test_a_refusal_counts_as_a_refusal_whatever_it_says(
    make: Callable[[], Exception], autojump_clock: Clock
) -> None:
    saga = Twins(make)
    ended = await outcome_of(saga)
    assert isinstance(ended, Failed)
    assert ended.cause == "rejected"
    assert sorted(saga.calls) == ["one", "other"]


@pytest.mark.parametrize("make", UNKNOWN)
async def test_any_other_exception_is_retried(make: Callable[[], BaseException], autojump_clock: Clock) -> None:
    saga = Twins(make, times=1)
    assert await outcome_of(saga) == Completed("done done")
    assert sorted(saga.calls) == ["one", "one", "other"], "no other branch was cancelled"


RAISED: list[BaseException] = []


def _raises() -> bool:
    raise RAISED[0]


class Asks(Saga[int, None]):
    """A saga whose condition raises."""

    @step(compensate=None, when=lambda number, ctx: _raises())
    async def one(self, number: int, ctx: Context) -> str:
        return "done"


class Sums(Saga[int, str]):
    """A saga whose output raises."""

    @step(compensate=None)
    async def one(self, number: int, ctx: Context) -> str:
        return "done"

    def output(self, input: int, ctx: Context) -> str:
        return str(_raises())


@pytest.mark.parametrize("make", UNKNOWN)
@pytest.mark.parametrize("saga", [Asks, Sums])
async def test_an_error_of_a_condition_or_an_output_is_the_end_of_the_saga(
    saga: type[Saga[int, Any]], make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    RAISED[:] = [make()]
    async with member(MemoryServer(), saga()) as worker:
        handle = await worker.runtime.start(saga, "s", 1)
        with trio.fail_after(1000):
            record = await settled(handle)
        assert (record.epoch, record.recoveries) == (1, 0), "no worker was lost"
        assert record.status in ("failed", "stuck")


async def untidy(epochs: list[int], ctx: Context) -> str:
    """Run out of time at the first attempt, and fail in the cleanup of a child task."""
    epochs.append(ctx.epoch)
    if len(epochs) == 1:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaks)
            await trio.sleep_forever()
    return "paid"


async def breaks() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise ValueError("while it was cancelled")


class Timed(Saga[int, str]):
    def __init__(self) -> None:
        self.epochs: list[int] = []

    @step(retry=QUICK, timeout=timedelta(seconds=1), compensate=None)
    async def pay(self, number: int, ctx: Context) -> str:
        return await untidy(self.epochs, ctx)

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Timed.pay)


class Beating(Saga[int, str]):
    """A saga whose calls have a heartbeat, and therefore a cancel scope of their own."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    @step(retry=QUICK, heartbeat_timeout=timedelta(seconds=1), timeout=timedelta(seconds=9), compensate=None)
    async def pay(self, number: int, ctx: Context) -> str:
        return await untidy(self.epochs, ctx)

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Beating.pay)


@pytest.mark.parametrize("make", [Timed, Beating])
async def test_a_timeout_whose_cleanup_fails_is_a_timeout(
    make: Callable[[], Timed | Beating], autojump_clock: Clock
) -> None:
    saga = make()
    assert await outcome_of(saga) == Completed("paid")
    assert saga.epochs == [1, 1], "no worker was lost"


class Undone(Saga[int, None]):
    """A saga whose compensation returns a generator-based coroutine that is never run."""

    def __init__(self) -> None:
        self.undone = 0

    def _undo(self) -> Iterator[None]:
        self.undone += 1
        yield

    @step(retry=QUICK)
    async def first(self, number: int, ctx: Context) -> None: ...

    @first.compensate(retry=QUICK)
    async def unfirst(self, number: int, result: None, ctx: Context) -> None:
        return cast(None, self._undo())

    @step(first, compensate=None)
    async def second(self, number: int, first: None, ctx: Context) -> None:
        raise Reject("no")


async def test_a_compensation_that_runs_nothing_has_undone_nothing(autojump_clock: Clock) -> None:
    saga = Undone()
    async with member(MemoryServer(), saga) as worker:
        handle = await worker.runtime.start(Undone, "u", 1)
        record = await settled(handle)
    assert (record.status, saga.undone) == ("stuck", 0)
    assert "nobody runs" in (record.steps["first"].error or "")
