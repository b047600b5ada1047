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
async def test_a_crash_while_the_turn_is_prepared(until_quiet: float, autojump_clock: Clock) -> None:
    """The next incarnation has a turn of its own; that of the one before is not taken for it."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        crash(worker, BAD)
        await trio.sleep(until_quiet)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


async def test_a_crash_while_the_turn_is_prepared_and_another_during_the_turn(autojump_clock: Clock) -> None:
    """The turn was put off meanwhile; the second crash is heard of as well."""
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


async def test_a_crash_of_one_whose_turn_was_put_off(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        await trio.sleep(PATIENCE + 1)
        crash(worker, BAD)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("kind", ["slow", "lose_ack", "never_applied"])
async def test_a_crash_after_the_grant_and_before_the_record_is_written(kind: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        stage.server.faults.order(StoreFault(kind=kind, key=BAD, delay=3.0))
        stage.let_go("long")
        await trio.sleep(0.5)
        assert "bad" not in stage.open
        crash(worker, BAD)
        await stage.all_well(worker, "bad", "long")


async def test_a_crash_during_the_turn(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        crash(worker, BAD)
        await trio.sleep(1)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("reach", [preparing, running])
async def test_an_actor_that_gives_up(reach: Any, autojump_clock: Clock) -> None:
    """The saga is stuck until an operator helps; then it has a turn again."""
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


async def test_two_suspects_of_which_the_first_crashes_during_its_turn(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start, "bad", "worse")
        crash(worker, BAD)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "worse", "long")


def lose_isolation(worker: Member) -> None:
    """It crashes of a message that is none."""
    nothing: Any = None
    worker.worker.environment.isolation.tell_nowait(nothing)


@pytest.mark.parametrize("reach", [preparing, running])
async def test_the_isolation_actor_is_lost(reach: Any, autojump_clock: Clock) -> None:
    """Whoever waits asks again; whoever runs alone goes on alone."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start, "bad", "worse")
        lose_isolation(worker)
        with trio.move_on_after(1):
            await stage.traffic(worker)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "bad", "worse", "long")


async def test_the_isolation_actor_is_lost_with_the_suspect_that_runs(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        lose_isolation(worker)
        crash(worker, BAD)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


async def test_the_isolation_actor_is_lost_right_after_it_has_granted_a_turn(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suspect hears of both at once."""
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
