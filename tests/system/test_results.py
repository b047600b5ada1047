"""`result` returns the output or raises; `wait` returns when the saga has ended or is stuck."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio.testing
from sagakit import Context, Reject, RetryPolicy, Saga, SagaFailed, step
from sagakit.store.memory_server import MemoryServer

from tests.system.members import member

Clock = trio.testing.MockClock
ONCE = RetryPolicy(max_attempts=1, initial_interval=timedelta(milliseconds=10))
SAYS = r"^Pay\.one failed: rejected at charge, declined.*; undone: reserve$"


class Pay(Saga[str, int]):
    """A saga that does what its input says."""

    @step(retry=ONCE)
    async def reserve(self, wish: str, ctx: Context) -> int:
        return 40

    @reserve.compensate
    async def release(self, wish: str, held: int | None, ctx: Context) -> None:
        if wish == "stuck":
            raise ConnectionError("the shop is closed")

    @step(reserve, retry=ONCE, compensate=None)
    async def charge(self, wish: str, held: int, ctx: Context) -> int:
        if wish == "pay":
            return held + 2
        raise Reject("declined", limit=30)

    def output(self, input: str, ctx: Context) -> int:
        return ctx.result(Pay.charge)


async def test_the_result_of_a_saga_that_completed_is_its_output(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Pay()) as running:
        handle = await running.runtime.start(Pay, "one", "pay")
        assert await handle.result() == 42
        assert await handle.wait() == "completed"


async def test_the_result_of_a_saga_that_turned_back_is_an_error_that_says_why(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Pay()) as running:
        handle = await running.runtime.start(Pay, "one", "refuse")
        with pytest.raises(
            SagaFailed, match=r"^Pay\.one failed: rejected at charge, declined.*; undone: reserve$"
        ) as found:
            await handle.result()
        assert await handle.wait() == "failed"
    error = found.value
    assert (error.key, error.cause, error.step, error.code) == ("Pay.one", "rejected", "charge", "declined")
    assert (error.detail, error.compensated) == ({"limit": 30}, ("reserve",))


async def test_a_wait_may_end_when_the_saga_is_stuck_or_go_on_until_it_ends(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Pay(), scan_interval=1e6, lease_ttl=1e6) as running:
        handle = await running.runtime.start(Pay, "one", "stuck")
        assert await handle.wait(or_stuck=True) == "stuck"
        with trio.move_on_after(10_000) as scope:
            await handle.wait()
        assert scope.cancelled_caught, "a stuck saga has not ended"
        await handle.terminate("the shop stays closed")
        assert await handle.wait() == "failed"
