"""A timer survives its worker, costs no actor, and wakes its saga in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Any

import trio
import trio.testing
from sagakit import Completed, Context, Failed, Saga, step, timer
from sagakit.store.memory_server import MemoryServer
from sagakit.system.timers import AT_ONCE, SetAlarm, Timers
from sagakit_actors import ChildSpec, Supervisor, open_system

from tests.actors.parts import child, running
from tests.looks import record_of
from tests.system.deliveries import CALM, DAY, Remind
from tests.system.members import EPOCH, killable, member, suffixes

Clock = trio.testing.MockClock


async def test_a_timer_survives_its_worker_and_costs_no_actor(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Remind(), **CALM)
        await first.runtime.start(Remind, "one", EPOCH + 90 * DAY)
        await trio.sleep(10)
        assert await first.runtime.list_active() == []
        assert first.worker.sagas.passivated == 1
        await trio.sleep(30 * DAY)
        first.kill()
        second = await start(server, Remind(), **CALM)
        await trio.sleep(30 * DAY)
        assert second.worker.sagas.passivated == 1
        handle = await second.runtime.get(Remind, "one")
        before = await record_of(handle)
        assert (before.status, before.epoch) == ("running", 2)
        with trio.fail_after(31 * DAY):
            assert isinstance(await handle.outcome(), Completed)
        await second.retired()
    assert trio.current_time() >= 90 * DAY
    assert suffixes(server, "one") == ["started", "recovered", "step.until", "step.remind", "completed"]


async def test_a_full_worker_wakes_sagas_in_the_order_of_their_due_times(autojump_clock: Clock) -> None:
    woken: list[float] = []

    class Slow(Saga[float]):
        until = timer(lambda at, ctx: datetime.fromtimestamp(at, UTC))

        @step(until, compensate=None)
        async def remind(self, at: float, nothing: None, ctx: Context) -> None:
            woken.append(at)
            await trio.sleep(0.7)

    dues = [EPOCH + 100 + number * 0.05 for number in range(40)]
    async with member(MemoryServer(), Slow(), **CALM, max_active=1) as running:
        for due in dues:
            await running.runtime.start(Slow, None, due)
        with trio.fail_after(1000):
            while len(woken) < len(dues):  # noqa: ASYNC110  # virtual time
                await trio.sleep(1)
    assert woken == dues


async def test_a_timer_without_a_time_zone_turns_the_saga_back(autojump_clock: Clock) -> None:
    class Naive(Saga[str]):
        at = timer(lambda at, ctx: datetime(2030, 1, 1))

    async with member(MemoryServer(), Naive(), **CALM) as running:
        outcome = await running.runtime.execute(Naive, "one", "x")
    assert isinstance(outcome, Failed)
    assert outcome.reason is not None
    assert "no time zone" in outcome.reason


DUE = [(f"due-{number}", 0.0) for number in range(20 * AT_ONCE)]
"""Alarms that are due at once, many times the number of those that are woken in one turn."""


def timers_that_are_due(wake: Callable[[str], None], **how: Any) -> ChildSpec:
    """Return the spec of timers that begin with `DUE`."""
    return child(lambda: Timers(lambda: 1.0, lambda: DUE, wake, until_set=trio.sleep_forever), **how)


async def test_timers_take_mail_while_timers_are_due() -> None:
    woken: list[str] = []

    def wake(key: str) -> None:
        woken.append(key)
        timers.tell_nowait(SetAlarm(f"next-{key}", inf))  # raises MailboxFull if the mail of two turns waits

    root = Supervisor("one_for_one", [timers_that_are_due(wake, capacity=AT_ONCE)])
    timers = root.ref("child")
    async with open_system(root):
        await trio.testing.wait_all_tasks_blocked()
        assert (timers.waiting, timers.incarnation) == (0, 1)
    assert woken == [key for key, _ in DUE]


async def test_timers_stop_while_timers_are_due() -> None:
    woken: list[str] = []
    first = trio.Event()

    def wake(key: str) -> None:
        woken.append(key)
        first.set()

    async with running(timers_that_are_due(wake)):
        await first.wait()
    assert 0 < len(woken) < len(DUE)
