"""A saga whose time has long passed is woken, and keeps the attempts that it has in hand (P3, P11, P12)."""

from __future__ import annotations

from datetime import timedelta

import trio
import trio.testing
from sagakit import Context, RetryPolicy, Saga, step, timer
from sagakit.store.memory_server import MemoryServer

from tests.system.members import bounded, member, stands

SAGAS = 40


class Cook(Saga[int, None]):
    """A saga with an attempt under way while a timer falls due."""

    def __init__(self) -> None:
        self.calls = 0
        self.go_on = trio.Event()

    @step(timeout=timedelta(days=1), compensate=None)
    async def bake(self, number: int, ctx: Context) -> str:
        self.calls += 1
        await self.go_on.wait()
        return "done"

    cooled = timer(timedelta(seconds=100), after=[])

    @step(bake, after=[cooled], compensate=None)
    async def serve(self, number: int, baked: str, ctx: Context) -> str:
        return baked


async def test_p3_a_worker_that_stood_still_keeps_its_attempts(autojump_clock: trio.testing.MockClock) -> None:
    server, saga = MemoryServer(), Cook()
    async with member(server, saga) as running, bounded():
        for number in range(SAGAS):
            await running.runtime.start(Cook, f"s{number}", number)
        await trio.sleep(50)
        autojump_clock.jump(200)  # as SIGSTOP and SIGCONT: timers and scans are overdue together
        await trio.sleep(60)
        saga.go_on.set()
        await running.retired()
    records = [stands(server, "SAGA_ARCHIVE", f"Cook.s{number}") for number in range(SAGAS)]
    assert {record["epoch"] for record in records if record is not None} == {1}
    assert None not in records
    assert saga.calls == SAGAS


class Again(Saga[int, None]):
    @step(
        compensate=None,
        retry=RetryPolicy(max_attempts=None, initial_interval=timedelta(seconds=5), max_interval=timedelta(seconds=5)),
    )
    async def fetch(self, number: int, ctx: Context) -> None:
        raise ValueError("again")


async def test_p11_a_saga_that_is_held_for_a_suspect_is_not_stalled(autojump_clock: trio.testing.MockClock) -> None:
    server = MemoryServer()
    async with member(server, Again(), scan_interval=5.0, stall_timeout=10.0) as running, bounded():
        await running.runtime.start(Again, "x", 1)
        await trio.sleep(3)
        gate = running.worker.environment.gate
        gate.close()
        await trio.sleep(300)
        held = stands(server, "SAGA_STATE", "Again.x")
        gate.open()
        await trio.sleep(10)
        freed = stands(server, "SAGA_STATE", "Again.x")
    assert held is not None
    assert freed is not None
    assert (held["epoch"], freed["epoch"]) == (1, 1)
    assert freed["version"] > held["version"]
