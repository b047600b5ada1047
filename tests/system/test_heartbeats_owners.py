"""Heartbeats reach the owner of their saga: across outages, crashes and adoptions, and through a full lane."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from msgspec import structs
from sagakit import Completed
from sagakit.engine import Inbound
from sagakit.messages.step_command import StepCommand
from sagakit.store.memory_server import MemoryServer
from sagakit.system.inbound.lane import Lane
from sagakit.system.timers import SetAlarm

from tests.looks import record_of
from tests.system.commands_taken import beat, reply, taken
from tests.system.members import killable, member, reads_of, until_taken, within
from tests.system.prints import HOUR, WAITS, Print, begun

Clock = trio.testing.MockClock


def heartbeat_of(command: StepCommand) -> Inbound:
    return Inbound(id="seq-1", kind="heartbeat", run=command.run, key=command.key, attempt=command.attempt)


async def test_the_next_owner_grants_the_whole_time_and_then_finds_silence(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Print())
        await begun(first, server)
        first.kill()
        await trio.sleep(HOUR / 3)  # the participant was silent meanwhile, and nobody listened
        second = await start(server, Print())
        handle = await second.runtime.get(Print, "1")
        with within(600, "the saga is not adopted"):
            while (await record_of(handle)).epoch == 1:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.5)
        await trio.sleep(28)
        assert not server.commands or server.commands[0].payload.find(b'"attempt":2') < 0
        server.commands.clear()  # the copy that the next owner hands in again
        with within(10, "silence is not found"):
            assert (await taken(server, "press.print")).attempt == 2


@pytest.mark.parametrize("passivate_after", [5.0, WAITS])
async def test_a_worker_that_lost_a_saga_passes_its_heartbeats_on(
    autojump_clock: Clock, passivate_after: float
) -> None:
    """The first worker was blocked for longer than its lease lasts, and kept its connection."""
    server = MemoryServer()
    options = {"lease_ttl": 6.0, "scan_interval": 36000.0, "passivate_after": passivate_after}
    async with member(server, Print(), **options) as first:
        command = await begun(first, server)
        await trio.sleep(10)
        async with member(server, Print(), **options) as second:
            first.store.freeze()
            handle = await second.runtime.get(Print, "1")
            with within(60, "the saga is not adopted"):
                while (await record_of(handle)).epoch == 1:  # noqa: ASYNC110  # virtual time
                    await trio.sleep(0.5)
            first.store.thaw()
            await trio.sleep(5)
            assert first.worker.sagas.has("Print.1"), "it knows already, and the test shows nothing"
            for _ in range(10):
                await first.worker.requests.anywhere("Print.1", heartbeat_of(command))
                await trio.sleep(20)
            book = (await record_of(handle)).steps["book"]
            assert (book.calls, book.error) == (1, None)


async def test_time_stands_still_in_an_outage(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        await begun(running, server)
        server.faults.begin_outage()
        await trio.sleep(HOUR / 3)
        server.faults.end_outage()
        over = trio.current_time()
        with within(HOUR, "silence is not found"):
            assert (await taken(server, "press.print")).attempt == 2
        assert trio.current_time() - over >= 30


@pytest.mark.parametrize("passivate_after", [5.0, WAITS])
async def test_after_an_outage_heartbeats_cost_one_read_at_the_most(
    autojump_clock: Clock, passivate_after: float
) -> None:
    """The scan after the outage has shown an active saga to be this worker's; a passivated one looks once."""
    server = MemoryServer()
    async with member(server, Print(), passivate_after=passivate_after, scan_interval=36000.0) as running:
        command = await begun(running, server)
        await trio.sleep(10)
        server.faults.begin_outage()
        await trio.sleep(1)
        server.faults.end_outage()
        await trio.sleep(1)
        with reads_of(running.store) as read:
            for _ in range(10):
                beat(server, command)
                await until_taken(server)
                await trio.sleep(20)
        assert read == ([] if passivate_after == WAITS else ["Print.1"])
        assert running.worker.requests.notes_heartbeat("Print.1", heartbeat_of(command)), "its actor is told of each"
        assert not server.commands


async def test_a_loss_of_the_timers_costs_no_alarm(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), passivate_after=5.0, scan_interval=36000.0) as running:
        command = await begun(running, server)
        await trio.sleep(20)
        beat(server, command)
        await until_taken(server)
        no_time: Any = "never"
        running.worker.environment.timers.tell_nowait(SetAlarm("Print.1", no_time))  # the actor crashes
        await trio.sleep(20)
        beat(server, command)
        await until_taken(server)
        assert not server.commands
        assert running.runtime.passivated == 1
        with within(35, "silence is not found"):
            assert (await taken(server, "press.print")).attempt == 2


async def test_a_heartbeat_that_finds_its_lane_full_comes_again_unless_nobody_waits_for_it(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        await running.runtime.start(Print, "1", 7)
        command = await taken(server, "press.print")
        nobodys = structs.replace(command, reply_to="sagareply.press.Print.nobody")
        beat(server, nobodys)
        await until_taken(server)
        with monkeypatch.context() as patch:
            patch.setattr(Lane, "offer", lambda self, item: False)
            beat(server, command)
            beat(server, nobodys)
            server.inbox[-1].since -= 100  # so old that it does not wait for its saga any more
            await trio.sleep(2)
            assert [queued.saga_id for queued in server.inbox] == ["1"]
        with within(1, "it does not come again"):
            await until_taken(server)
        assert (await record_of(await running.runtime.get(Print, "1"))).steps["book"].alive


async def test_an_owner_elsewhere_hears_of_a_heartbeat(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as owner, member(server, Print()):
        command = await begun(owner, server)
        for _ in range(40):  # whichever worker takes it
            await trio.sleep(20)
            beat(server, command)
        assert not server.commands
        reply(server, command, "done", payload=7)
        with within(60, "it does not end"):
            assert await (await owner.runtime.get(Print, "1")).outcome() == Completed(None)
