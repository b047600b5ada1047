"""A value that contains itself, is nested too deeply, or has a type that raises cannot be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import (
    Completed,
    Context,
    Done,
    Failed,
    Reject,
    RetryPolicy,
    Saga,
    child,
    errors,
    signal,
    step,
)
from sagakit.definition import compiled
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.system.members import member
from tests.system.money import QUICK, SAYS, Kept, raising
from tests.system.money import money_is_good as money_is_good

Clock = trio.testing.MockClock

RING: list[Any] = []
RING.append(RING)
DEEP: list[Any] = []
for _ in range(600):
    DEEP = [DEEP]


class Returns(Saga[int]):
    """A saga whose action returns or raises what the test says, such as errors that encoding raises, too."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.calls: list[str] = []

    @step(retry=RetryPolicy(max_attempts=1, reject_on=(Exception,)))
    async def make(self, n: int, ctx: Context) -> Any:
        self.calls.append("make")
        return self.value

    @make.compensate(retry=QUICK)
    async def unmake(self, n: int, made: Any, ctx: Context) -> None:
        self.calls.append("unmake")


@pytest.mark.parametrize("value", [RING, DEEP, {"a": (RING,)}, object()], ids=["ring", "deep", "within", "object"])
async def test_p3_a_result_that_cannot_be_kept_leaves_the_attempt_unknown(value: Any, autojump_clock: Clock) -> None:
    async with member(MemoryServer(), saga := Returns(value)) as running:
        with trio.fail_after(1000):
            outcome = await running.runtime.execute(Returns, "1", 1)
    assert isinstance(outcome, Failed)
    assert outcome.cause == "exhausted", "the action has happened, so this is not a refusal"
    assert (outcome.reason or "").startswith("its result cannot be encoded: Returns.make cannot be kept as Any: ")
    assert saga.calls == ["make", "unmake"]


@raising
async def test_p3_a_result_whose_type_raises_leaves_the_attempt_unknown(
    make: Callable[[], BaseException], autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), Kept()) as running:
        SAYS[:] = [make]
        handle = await running.runtime.start(Kept, "1", 1)
        with trio.fail_after(1000):
            record = await settled(handle)
    assert (record.epoch, record.recoveries) == (1, 0)
    assert record.failure is not None
    reason = record.failure.reason or ""
    assert reason.startswith("its result cannot be encoded: Kept.first cannot be kept as Money: ")
    assert record.steps["first"].state == "undone", "it may have happened"


class Asked(Saga[int, str]):
    """A saga whose step is in doubt, and whose check first answers with a value that contains itself."""

    def __init__(self) -> None:
        self.answers: list[Any] = [RING, "made"]

    @step(on_unknown="check", retry=QUICK, compensate=None)
    async def make(self, n: int, ctx: Context) -> Any:
        raise OSError("no answer")

    @make.check
    async def was_made(self, n: int, ctx: Context) -> Done[Any]:
        return Done(self.answers.pop(0))

    def output(self, input: int, ctx: Context) -> str:
        return str(ctx.result(Asked.make))


async def test_a_check_whose_result_cannot_be_kept_is_asked_again(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Asked()) as running:
        with trio.fail_after(1000):
            assert await running.runtime.execute(Asked, "1", 1) == Completed("made")


class Refuses(Saga[int]):
    def __init__(self, make: Callable[[], BaseException]) -> None:
        self.make = make

    @step(retry=QUICK, compensate=None)
    async def ask(self, n: int, ctx: Context) -> None:
        raise self.make()


class Shown:
    def __repr__(self) -> str:
        raise SystemExit("while it is shown")


def refusal(**detail: object) -> Exception:
    """Return a refusal whose detail was set after it was made."""
    error = Reject("sold-out")
    error.detail = detail
    return error


@pytest.mark.parametrize(
    "make",
    [
        partial(refusal, ring=RING),
        partial(refusal, deep=DEEP),
        partial(refusal, what=Shown()),
    ],
    ids=["ring", "deep", "shown"],
)
async def test_a_refusal_whose_detail_cannot_be_kept_is_still_a_refusal(make: Any, autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Refuses(make)) as running:
        with trio.fail_after(1000):
            outcome = await running.runtime.execute(Refuses, "1", 1)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code) == ("rejected", "sold-out")
    assert list(outcome.detail) == ["not_encodable"]


class Anything(Saga[Any]):
    @step(compensate=None)
    async def note(self, value: Any, ctx: Context) -> None: ...


@pytest.mark.parametrize("value", [RING, DEEP, {"a": (RING,)}], ids=["ring", "deep", "within"])
async def test_an_input_that_contains_itself_is_refused(value: Any, autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Anything()) as running:
        with pytest.raises(errors.InvalidInput, match="nested"):
            await running.runtime.start(Anything, "1", value)


class Doubled(msgspec.Struct):
    price: int

    def __post_init__(self) -> None:
        self.price *= 2


@asynccontextmanager
async def fail_after(seconds: float) -> AsyncIterator[None]:
    with trio.fail_after(seconds):
        yield


class Offers(Saga[int, int]):
    """A saga whose values double at each reading."""

    part = child(Anything, lambda number, ctx: Doubled(1) if number == 1 else {1: "a", "1": "b"} if number == 2 else 0)
    offer = signal(Doubled)

    @step(offer, compensate=None, retry=RetryPolicy(max_attempts=1))
    async def confirm(self, number: int, offer: Doubled, ctx: Context) -> Doubled:
        return Doubled(1)

    def output(self, input: int, ctx: Context) -> int:
        return ctx.result(Offers.confirm).price


async def test_a_value_that_would_be_read_back_changed_is_refused_everywhere(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Offers(), Anything()) as running, fail_after(1000):
        runtime = running.runtime
        merging = await runtime.execute(Offers, "2", 2)
        assert isinstance(merging, Failed)
        assert "two keys of a dict are '1' in JSON" in (merging.reason or "")
        handle = await runtime.start(Offers, "0", 0)
        with pytest.raises(errors.InvalidInput, match=r"offer cannot take it: 2 would come back as 4: .*at `\$.price`"):
            await runtime.signal(Offers, "0", Offers.offer, Doubled(1))
        with pytest.raises(errors.InvalidInput, match=r"confirm cannot take it: 2 would come back as 4"):
            await handle.complete_step("confirm", Doubled(1), "by hand")
        await runtime.signal(Offers, "0", Offers.offer, Doubled(0))
        record = await settled(handle)
    assert record.failure is not None
    assert "2 would come back as 4" in (record.failure.reason or "")
    with pytest.raises(errors.InvalidInput, match=r"not an input of type Doubled: 2 would come back as 4"):
        compiled(Doubles).encode_input(Doubled(1))


class Doubles(Saga[Doubled]):
    @step(compensate=None)
    async def note(self, value: Doubled, ctx: Context) -> None: ...
