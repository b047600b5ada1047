"""A user's function that returns an object which is to be raised gets an error that says so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio.testing
from sagakit import Context, Done, Failed, NotDone, Reject, Retry, RetryPolicy, Saga, each, step
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.system.members import member

Clock = trio.testing.MockClock
TWICE = RetryPolicy(max_attempts=2, initial_interval=timedelta(milliseconds=10))


class Order(Saga[int]):
    """A saga in which the function named by `where` returns `returned`."""

    def __init__(self, where: str, returned: Any) -> None:
        self.where = where
        self.returned = returned

    def _result(self, where: str, otherwise: Any) -> Any:
        return self.returned if self.where == where else otherwise

    @step(retry=TWICE)
    async def hold(self, order: int, ctx: Context) -> str:
        return str(self._result("step", "held")) if self.where != "step" else self.returned

    @hold.compensate(retry=TWICE)
    async def release(self, order: int, held: str | None, ctx: Context) -> None:
        return self._result("compensation", None)  # type: ignore[no-any-return]

    @each(lambda order, ctx: [1], retry=TWICE, compensate=None)
    def label(self, order: int, item: int, ctx: Context) -> str:
        return self._result("item", "label")  # type: ignore[no-any-return]

    @step(on_unknown="check", retry=TWICE, compensate=None)
    async def pay(self, order: int, ctx: Context) -> str:
        if self.where == "compensation":
            raise Reject("poor")
        if self.where == "check":
            raise OSError
        return "paid"

    @pay.check
    async def paid(self, order: int, ctx: Context) -> Done[str] | NotDone | None:
        return self._result("check", Done("paid"))  # type: ignore[no-any-return]


RETURNED: list[tuple[Any, str]] = [
    (Reject("poor"), "it returned Reject('poor'), which says nothing: raise it, as in `raise Reject(...)`"),
    (Reject, "raise it, as in `raise Reject(...)`"),
    (Retry("busy"), "it returned Retry('busy'), which says nothing: raise it, as in `raise Retry(...)`"),
]
CHECKS: list[tuple[Any, str]] = [
    (NotDone(), "it returned NotDone, which is for checks: raise Retry(reason, not_done=True), or Reject(code)"),
    (Done("x"), "it returned Done, which is for checks: return the result itself"),
]


@pytest.mark.parametrize(("returned", "says"), [*RETURNED, *CHECKS])
@pytest.mark.parametrize("where", ["step", "item"])
async def test_an_action_that_returns_a_refusal_is_told_to_raise_it(
    autojump_clock: Clock, where: str, returned: Any, says: str
) -> None:
    async with member(MemoryServer(), Order(where, returned)) as one:
        outcome = await one.runtime.execute(Order, "one", 1)
    assert isinstance(outcome, Failed)
    assert says in str(outcome.reason)


@pytest.mark.parametrize(("returned", "says"), RETURNED)
@pytest.mark.parametrize("where", ["compensation", "check"])
async def test_a_compensation_and_a_check_that_return_one_are_told_and_stuck(
    autojump_clock: Clock, where: str, returned: Any, says: str
) -> None:
    async with member(MemoryServer(), Order(where, returned)) as one:
        handle = await one.runtime.start(Order, "one", 1)
        record = await settled(handle)
    step = "hold" if where == "compensation" else "pay"
    assert says in str(record.steps[step].error)
