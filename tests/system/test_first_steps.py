"""Mistakes of a first step: the saga's failure or stuck reason says what the step did and what to write."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sagakit
import trio
from sagakit import Completed, Context, Failed, Reject, Retry, RetryPolicy, Saga, SagaStuck, step, timer

TWICE = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=10))


class Do(Saga[int, str]):
    """A saga whose step does what the test passes in."""

    def __init__(self, what: Callable[[], Awaitable[Any]], output: Any = "done") -> None:
        self.what = what
        self.out = output

    @step(compensate=None, retry=TWICE, timeout=timedelta(seconds=5))
    async def do(self, order: int, ctx: Context) -> str:
        return await self.what()  # type: ignore[no-any-return]

    def output(self, input: int, ctx: Context) -> str:
        return self.out  # type: ignore[no-any-return]


def returning(value: Any) -> Callable[[], Awaitable[Any]]:
    async def what() -> Any:
        return value

    return what


def raising(error: BaseException | type[BaseException]) -> Callable[[], Awaitable[Any]]:
    async def what() -> Any:
        raise error

    return what


ANY: Any = [Reject, Retry]
_Reject, _Retry = ANY


def wrongly(make: Callable[[], BaseException]) -> Callable[[], Awaitable[Any]]:
    async def what() -> Any:
        raise make()

    return what


async def with_a_number() -> str:
    raise Reject(404)  # type: ignore[arg-type]  # pyright: ignore


async def rejecting() -> None:
    raise Reject("sold_out", n=1)


async def in_a_nursery() -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rejecting)
    return ""


REFUSED: dict[str, tuple[Callable[[], Awaitable[Any]], str, dict[str, Any]]] = {
    "in_a_nursery": (in_a_nursery, "sold_out", {"n": 1}),
    "with_a_huge_detail": (raising(Reject("big", blob="x" * 1_000_000, n=3)), "big", {"n": 3, "not_kept": ["blob"]}),
    "with_a_detail_that_is_no_json": (raising(Reject("odd", at=Context)), "odd", {"at": repr(Context)}),
}
EXHAUSTED: dict[str, tuple[Callable[[], Awaitable[Any]], str]] = {
    "code_of_a_number": (with_a_number, "the code of a Reject is text, not 404: say Reject"),
    "reject_without_code": (
        raising(Reject),
        "Reject(): write Reject('sold_out', sku=sku): the code first, without its",
    ),
    "reject_with_a_named_code": (
        wrongly(lambda: _Reject(code="no")),
        "Reject(code='no'): write Reject('sold_out', sku=",
    ),
    "reject_with_two_texts": (
        wrongly(lambda: _Reject("no", 5)),
        "Reject('no', 5): write Reject('sold_out', sku=sku): ",
    ),
    "retry_without_reason": (raising(Retry), "Retry(): write Retry('closed', after=timedelta(hours=1)): the reason"),
    "retry_with_two_values": (wrongly(lambda: _Retry("no", 5)), "Retry('no', 5): write Retry('closed', after="),
    "a_number_for_text": (returning(7), "cannot be kept as str: Expected `str`, got `int`"),
    "nothing_for_text": (returning(None), "cannot be kept as str: Expected `str`, got `null`"),
    "exit": (raising(SystemExit(3)), "SystemExit(3)"),
    "cancelled": (raising(asyncio.CancelledError()), "CancelledError()"),
}


def outcome_of(saga: Saga[int, str]) -> Any:
    return sagakit.run(saga, "one", 1, url="memory:")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_reaches_the_outcome(name: str) -> None:
    what, code, detail = REFUSED[name]
    outcome = outcome_of(Do(what))
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code, outcome.detail) == ("rejected", code, detail)


@pytest.mark.parametrize("name", EXHAUSTED)
def test_a_mistake_of_a_step_is_the_reason_of_the_failure(name: str) -> None:
    what, says = EXHAUSTED[name]
    outcome = outcome_of(Do(what))
    assert isinstance(outcome, Failed)
    assert outcome.cause == "exhausted"
    assert says in str(outcome.reason)


class SoldOut(Reject):
    """A refusal of a user's own, with arguments of its own."""

    def __init__(self, *, sku: str = "lamp") -> None:
        super().__init__("sold_out", sku=sku)


@pytest.mark.parametrize("error", [SoldOut, SoldOut(sku="lamp")])
def test_a_refusal_of_the_user_may_take_other_arguments(error: Any) -> None:
    outcome = outcome_of(Do(raising(error)))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.detail) == ("sold_out", {"sku": "lamp"})


@pytest.mark.parametrize("output", [7, None])
def test_an_output_of_another_type_makes_the_saga_stuck(output: Any) -> None:
    with pytest.raises(SagaStuck, match=r"output: Do\.output cannot be kept as str: Expected `str`"):
        outcome_of(Do(returning("x"), output))


def test_an_interrupt_ends_the_program() -> None:
    with pytest.raises(KeyboardInterrupt):
        outcome_of(Do(raising(KeyboardInterrupt())))


class Number(Saga[float, None]):
    @step(compensate=None, retry=TWICE)
    def itself(self, number: float, ctx: Context) -> float:
        return float("inf" if number else "nan")


@pytest.mark.parametrize(("number", "says"), [(0.0, "nan is not a JSON number"), (1.0, "inf is not a JSON number")])
def test_a_number_that_json_has_not_is_told(number: float, says: str) -> None:
    outcome = sagakit.run(Number(), "one", number, url="memory:")
    assert isinstance(outcome, Failed)
    assert says in str(outcome.reason)


class Exit(Saga[int, None]):
    @step(compensate=None, retry=TWICE)
    def leave(self, order: int, ctx: Context) -> str:
        return sys.exit(3)


class Slow(Saga[int, None]):
    @step(compensate=None, retry=TWICE, timeout=timedelta(milliseconds=50))
    async def sleep(self, order: int, ctx: Context) -> str:
        await trio.sleep(3600)
        return ""


class Until(Saga[int, None]):
    until = timer(lambda order, ctx: datetime(2030, 1, 1))  # the mistake under test


@pytest.mark.parametrize(
    ("saga", "says"),
    [(Exit(), "SystemExit(3)"), (Slow(), "timeout after 0.05 s"), (Until(), "has no time zone: say datetime(")],
)
def test_a_step_that_exits_or_times_out_and_a_time_without_a_zone_are_reported(saga: Any, says: str) -> None:
    outcome = sagakit.run(saga, "one", 1, url="memory:")
    assert isinstance(outcome, Failed)
    assert says in str(outcome.reason)


class Silent(Saga[int, None]):
    """A condition that returns None skips its step."""

    @step(compensate=None, when=lambda order, ctx: None)  # type: ignore[arg-type,return-value]  # pyright: ignore
    async def never(self, order: int, ctx: Context) -> str:
        raise AssertionError


def test_a_condition_that_returns_none_skips_the_step() -> None:
    assert sagakit.run(Silent(), "one", 1, url="memory:") == Completed(None)
