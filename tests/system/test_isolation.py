"""A suspect has its turn alone, and the gate opens again, whatever becomes of the suspect or the worker (P11).

No caller waits forever, and no record says that its saga runs alone while another attempt is open.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit.errors import RuntimeClosed

from tests.system.members import bounded, change, killable, stands
from tests.system.stage import BAD, CALM, Stage, Work, preparing, running

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("quiet_crashes")


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_a_suspect_ends_by_a_verb_while_it_waits_for_its_turn(verb: str, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        await getattr(await worker.runtime.get(Work, "bad"), verb)("no more")
        if verb == "terminate":
            await worker.runtime.execute(Work, "at once", "x")
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


async def test_a_saga_that_is_no_longer_a_suspect_leaves_the_queue(autojump_clock: Clock) -> None:
    """The participant has reported that the action was done."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        assert await worker.runtime.apply(BAD, "report", step="go") == "accepted"
        with trio.fail_after(2):
            await worker.runtime.execute(Work, "at once", "x")
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_a_suspect_ends_by_a_verb_during_its_turn(verb: str, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        await getattr(await worker.runtime.get(Work, "bad"), verb)("no more")
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("reach", [preparing, running])
async def test_the_gate_opens_when_another_worker_takes_the_suspect(reach: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start)
        change(stage.server, BAD, owner="elsewhere", epoch=stage.record("bad")["epoch"] + 1)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "long")
        assert worker.worker.environment.fenced_count == 1


async def test_two_suspects_have_their_turns_one_after_the_other(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start, "bad", "worse")
        stage.let_go("long")
        await stage.all_well(worker, "bad", "worse", "long")
        for saga_id in ("bad", "worse"):
            ended = stands(stage.server, "SAGA_ARCHIVE", f"Work.{saga_id}")
            assert ended is not None
            assert (ended["status"], ended.get("lone_deaths", 0)) == ("completed", 0)


@pytest.mark.parametrize("reach", [preparing, running])
async def test_a_suspect_goes_to_another_worker_when_its_worker_leaves(reach: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start)
        worker.leave()
        await trio.sleep(60)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        heir = await start(stage.server, Work(stage), **CALM)
        await stage.all_well(heir, "bad", "long")


async def test_a_caller_at_the_gate_is_refused_at_once_when_the_worker_leaves(autojump_clock: Clock) -> None:
    """The caller does not wait until the suspect has ended or the drain timeout is over."""
    stage = Stage()
    async with killable() as start, bounded(), trio.open_nursery() as nursery:
        worker = await running(stage, start, drain_timeout=100.0)
        refused = trio.Event()

        async def one() -> None:
            with pytest.raises(RuntimeClosed):
                await worker.runtime.start(Work, "one", "x")
            refused.set()

        nursery.start_soon(one)
        await trio.sleep(1)
        worker.leave()
        with trio.fail_after(1):
            await refused.wait()
        stage.let_go("bad")
