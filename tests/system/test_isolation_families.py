"""Parents and children end although one of them is a suspect or waits for one (P11)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Context, Reject, RetryPolicy, Saga, child, step
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.system.members import bounded, change, killable, until_ended
from tests.system.stage import CALM, Stage, Work

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("quiet_crashes")


class Kid(Saga[str]):
    """A child whose undo succeeds at the third try."""

    def __init__(self) -> None:
        self.tries = 0

    @step
    async def go(self, text: str, ctx: Context) -> None: ...

    @go.compensate(
        retry=RetryPolicy(max_attempts=None, initial_interval=timedelta(seconds=5), max_interval=timedelta(seconds=5))
    )
    async def undo(self, text: str, done: None, ctx: Context) -> None:
        self.tries += 1
        if self.tries < 3:
            raise ConnectionError("not yet")


class Parent(Saga[str]):
    kid = child(Kid, lambda text, ctx: text)


class Undoes(Saga[str]):
    kid = child(Kid, lambda text, ctx: text)

    @step(after=[kid], compensate=None)
    async def refuse(self, text: str, ctx: Context) -> None:
        raise Reject("no")


async def test_a_suspect_starts_its_child_in_its_turn(autojump_clock: Clock) -> None:
    """The child may open nothing while the gate is closed, and the parent does not wait for that."""
    server, called = MemoryServer(), trio.Event()

    async def hang(call: Any, record: Any, child_type: str) -> Any:
        called.set()
        await trio.sleep_forever()

    async with killable() as start, bounded():
        victim = await start(server, Kid(), Parent(), **CALM)
        victim.worker.environment.children.call = hang  # type: ignore[method-assign]
        await victim.runtime.start(Parent, "p", "x")
        await called.wait()
        victim.kill()
        change(server, "Parent.p", recoveries=1)
        await start(server, Kid(), Parent(), **CALM)
        with trio.fail_after(20):
            await until_ended(server, "Parent.p")


async def test_a_parent_that_waits_for_its_childs_undo_does_not_block_a_suspect(autojump_clock: Clock) -> None:
    """The child waits for the gate and the parent for the child, so the gate must not wait for the parent."""
    stage = Stage()
    async with killable() as start, bounded():
        await stage.suspects(start, "bad")
        stage.hold("bad")
        worker = await start(stage.server, Work(stage), Kid(), Undoes(), **CALM)
        parent = await worker.runtime.start(Undoes, "p", "x")
        with trio.fail_after(10):
            await stage.begun["bad"].wait()
        assert (await record_of(parent)).steps["kid"].state == "undoing"
        stage.let_go("bad")
        await parent.outcome()
        await stage.all_well(worker, "bad")
