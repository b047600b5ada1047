"""Actors with tasks of their own that take no messages: their tasks live as long as an incarnation."""

from __future__ import annotations

import trio
import trio.testing
from sagakit_actors import Actor, ActorContext

from tests.actors.parts import child, running


class Busy(Actor[None]):
    """Works in a task until cancelled, or until `crash` is set, and writes into `log`."""

    tasks = True

    def __init__(self, log: list[str], crash: trio.Event) -> None:
        self.log = log
        self.crash = crash

    async def started(self, ctx: ActorContext[None]) -> None:
        self.log.append(f"{ctx.incarnation} started")
        ctx.nursery.start_soon(self._work, ctx.incarnation)

    async def stopped(self, ctx: ActorContext[None]) -> None:
        self.log.append(f"{ctx.incarnation} stopped")

    async def _work(self, incarnation: int) -> None:
        try:
            await self.crash.wait()
            raise RuntimeError("told to")
        finally:
            self.log.append(f"{incarnation} works no more")


async def test_a_stop_ends_the_tasks_of_an_actor_without_messages(autojump_clock: trio.testing.MockClock) -> None:
    log: list[str] = []
    async with running(child(lambda: Busy(log, trio.Event()))):
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["1 started"]
    assert trio.current_time() == 0  # at once: `shutdown` is only for actors that do not end
    assert sorted(log[1:]) == ["1 stopped", "1 works no more"]


async def test_a_crash_of_a_task_starts_an_actor_without_messages_again() -> None:
    log: list[str] = []
    crash = trio.Event()
    async with running(child(lambda: Busy(log, crash))):
        await trio.testing.wait_all_tasks_blocked()
        crash.set()
        crash = trio.Event()  # of the next incarnation
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["1 started", "1 works no more", "1 stopped", "2 started"]
    assert sorted(log[4:]) == ["2 stopped", "2 works no more"]
