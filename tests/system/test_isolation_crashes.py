"""A suspect has its turn alone although its actor, or the isolation actor, crashes (P11)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit.store.faults import StoreFault
from sagakit.system.isolation import PATIENCE, Isolation

from tests.system.members import Member, bounded, crash, killable
from tests.system.stage import BAD, Stage, Work, preparing, running, until

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("quiet_crashes")


@pytest.mark.parametrize("until_quiet", [0.0, 0.01, 0.2, 5.0, PATIENCE + 1])
async def test_a_suspect_ends_after_a_crash_while_its_turn_is_prepared(
    until_quiet: float, autojump_clock: Clock
) -> None:
    """The next incarnation gets its own turn; the one prepared before does not count for it."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        crash(worker, BAD)
        await trio.sleep(until_quiet)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


async def test_a_suspect_ends_after_crashes_before_and_during_its_turn(autojump_clock: Clock) -> None:
    """The turn is put off between the two crashes. The second crash is noticed as well."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        crash(worker, BAD)
        await trio.sleep(PATIENCE + 1)
        stage.hold("bad")
        stage.let_go("long")
        await stage.begun["bad"].wait()
        crash(worker, BAD)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


async def test_a_suspect_ends_after_a_crash_while_its_turn_is_put_off(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        await trio.sleep(PATIENCE + 1)
        crash(worker, BAD)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("kind", ["slow", "lose_ack", "never_applied"])
async def test_a_suspect_ends_after_a_crash_between_the_grant_and_the_write(kind: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        stage.server.faults.order(StoreFault(kind=kind, key=BAD, delay=3.0))
        stage.let_go("long")
        await trio.sleep(0.5)
        assert "bad" not in stage.open
        crash(worker, BAD)
        await stage.all_well(worker, "bad", "long")


async def test_a_suspect_ends_after_a_crash_during_its_turn(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        crash(worker, BAD)
        await trio.sleep(1)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("reach", [preparing, running])
async def test_a_suspect_whose_actor_is_given_up_is_stuck(reach: Any, autojump_clock: Clock) -> None:
    """An operator helps the saga, and then it has a turn again."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start, max_restarts=0)
        crash(worker, BAD)
        await until(lambda: stage.record("bad")["status"] == "stuck")
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "long")
        await (await worker.runtime.get(Work, "bad")).retry("mended", by="ann")
        await stage.all_well(worker, "bad")


async def test_both_suspects_end_after_the_first_crashes_during_its_turn(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start, "bad", "worse")
        crash(worker, BAD)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "worse", "long")


def lose_isolation(worker: Member) -> None:
    """Crash the isolation actor with a message that is not one."""
    nothing: Any = None
    worker.worker.environment.isolation.tell_nowait(nothing)


@pytest.mark.parametrize("reach", [preparing, running])
async def test_a_lost_isolation_actor_keeps_the_turns(reach: Any, autojump_clock: Clock) -> None:
    """A saga that waits asks the new actor. A saga that runs alone continues alone."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start, "bad", "worse")
        lose_isolation(worker)
        with trio.move_on_after(1):
            await stage.traffic(worker)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "bad", "worse", "long")


async def test_a_turn_ends_when_the_isolation_actor_and_the_suspect_are_both_lost(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        lose_isolation(worker)
        crash(worker, BAD)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


async def test_a_suspect_ends_although_the_isolation_actor_is_lost_right_after_its_grant(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suspect is told of the grant and of the loss at once."""
    do, stage = Isolation._do, Stage()

    def lost_after_the_grant(self: Isolation, action: Any) -> None:
        do(self, action)
        if action == "grant":
            monkeypatch.setattr(Isolation, "_do", do)
            raise RuntimeError("planted")

    monkeypatch.setattr(Isolation, "_do", lost_after_the_grant)
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")
