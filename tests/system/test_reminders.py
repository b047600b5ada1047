"""The timers actor is told enough that no saga sleeps too long, and no more than it can forget."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, RetryPolicy, Saga, signal, step, timer
from sagakit.cluster import life
from sagakit.engine import Inbound
from sagakit.store.memory_server import MemoryServer
from sagakit.system import timers
from sagakit.system.saga.saga_messages import Wake
from sagakit.system.timers import SetTimer, Timers

from tests.looks import record_of
from tests.system.members import EPOCH, member, until_ended

Clock = trio.testing.MockClock
MONTH = timedelta(days=30)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the timers actors that the test makes."""
    found: list[Any] = []

    class Seen(Timers):
        def __init__(self, *args: Any, **how: Any) -> None:
            super().__init__(*args, **how)
            found.append(self)

    monkeypatch.setattr(life, "Timers", Seen)
    return found


class Patient(Saga[int, None], deadline=MONTH):
    @step(
        compensate=None,
        retry=RetryPolicy(
            max_attempts=None, initial_interval=timedelta(seconds=0.5), max_interval=timedelta(seconds=0.9)
        ),
    )
    async def go(self, number: int, ctx: Context) -> None:
        if ctx.attempt < 500:
            raise RuntimeError("not yet")


async def test_a_distant_deadline_is_told_once_however_often_a_step_is_retried(
    autojump_clock: Clock, made: Any
) -> None:
    async with member(MemoryServer(), Patient()) as worker:
        handle = await worker.runtime.start(Patient, "p", 1)
        assert await handle.outcome() == Completed(None)
        assert len(made[0]._heap) < 10


class Asked(Saga[int, None], deadline=MONTH):
    go = signal(str)


async def test_only_the_last_alarm_of_a_passivated_saga_is_kept(
    autojump_clock: Clock, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "TIDY", 20)
    async with member(MemoryServer(), Asked(), lease_ttl=36000.0, scan_interval=360000.0) as worker:
        handle = await worker.runtime.start(Asked, "a", 1)
        for number in range(100):
            await trio.sleep(5)
            message = Inbound(id=f"i{number}", kind="signal", step="nobody")
            assert await worker.worker.requests.here("Asked.a", message) == "unknown"
        await trio.sleep(5)
        assert worker.worker.sagas.passivated == 1
        assert len(made[0]._heap) < 50
        await trio.sleep(MONTH.total_seconds())
        assert (await record_of(handle)).status == "failed"


class AskedTwice(Saga[int, None]):
    go = signal(str)
    stop = signal(str, after=[go])


async def test_a_saga_that_was_busy_is_passivated_that_much_later(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), AskedTwice(), passivate_after=10.0) as worker:
        await worker.runtime.start(AskedTwice, "a", 1)
        await trio.sleep(8)
        await worker.runtime.signal(AskedTwice, "a", AskedTwice.go, "now")
        await trio.sleep(6)
        assert worker.worker.sagas.passivated == 0
        await trio.sleep(6)
        assert worker.worker.sagas.passivated == 1


class Pauses(Saga[int, None]):
    pause = timer(timedelta(seconds=20))


class Settable:
    """A server's clock that a test can put forward."""

    skew = 0.0

    def __init__(self) -> None:
        self._ahead = 0.0
        self._set = trio.Event()

    def now(self) -> float:
        return EPOCH + self._ahead + trio.current_time()

    async def until_set(self) -> None:
        await self._set.wait()

    def put_forward(self, seconds: float) -> None:
        self._ahead += seconds
        told, self._set = self._set, trio.Event()
        told.set()


@pytest.mark.parametrize("passivate_after", [1.0, 3600.0], ids=["passivated", "active"])
async def test_a_clock_that_is_put_forward_wakes_sagas_whose_time_has_come(
    passivate_after: float, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a suspension the monotonic clock, by which the sleep was computed, has stood still."""
    clock = Settable()
    monkeypatch.setattr(MemoryServer, "clock", lambda self: clock)
    server = MemoryServer()
    async with member(server, Pauses(), now=None, passivate_after=passivate_after) as worker:
        await worker.runtime.start(Pauses, "p", 1)
        for _ in range(2):
            await trio.sleep(2)
            clock.put_forward(8)
        with trio.fail_after(1):
            await until_ended(server, "Pauses.p")


@pytest.mark.usefixtures("quiet_crashes")
async def test_an_early_wake_does_not_forget_the_timer(autojump_clock: Clock) -> None:
    """The saga does not need the timers actor's memory either, which is lost right after the wake."""
    nobody: Any = "nobody"
    async with member(MemoryServer(), Pauses(), passivate_after=30.0) as worker:
        handle = await worker.runtime.start(Pauses, "p", 1)
        await trio.sleep(1)
        ref = worker.worker.sagas.get("Pauses.p")
        assert ref is not None
        ref.signal(Wake())
        await trio.sleep(1)
        worker.worker.environment.timers.tell_nowait(
            SetTimer(nobody, 0.0, Wake())
        )  # the actor crashes, since text cannot be weakly referenced
        assert await handle.outcome() == Completed(None)
        assert (trio.current_time() // 1, (await record_of(handle)).epoch) == (20, 1)
