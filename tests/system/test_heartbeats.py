"""Heartbeats of participants: silence is found out early, a life costs no write, none does harm."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing
from msgspec import structs
from sagakit import Completed, Saga, remote
from sagakit.messages.step_command import StepCommand
from sagakit.store.memory_inbox import MemoryInbox
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.saga.remote_calls import LOOK_AGAIN

from tests.looks import record_of
from tests.system.commands_taken import beat, reply, taken
from tests.system.members import Member, killable, member, until_taken, within
from tests.system.prints import HOUR, WAITS, Print, begun

Clock = trio.testing.MockClock


class Look(Saga[int]):
    """As `Print`, but a check says whether it was done."""

    book = remote(
        "press.print", int, send=lambda pages, ctx: pages, compensate="press.pulp",
        heartbeat_timeout=timedelta(seconds=30), timeout=timedelta(seconds=HOUR),
        check="press.printed", on_unknown="check",
    )  # fmt: skip


class Timed(Saga[int]):
    """As `Print`, but it has 30 seconds and shows no life."""

    book = remote("press.print", int, send=lambda pages, ctx: pages, compensate=None, timeout=timedelta(seconds=30))


async def version_of(running: Member, saga: type[Saga[int]] = Print) -> int:
    return (await record_of(await running.runtime.get(saga, "1"))).version


@pytest.mark.parametrize("passivate_after", [5.0, WAITS])
async def test_a_participant_that_falls_silent_is_given_up_long_before_the_timeout(
    autojump_clock: Clock, passivate_after: float
) -> None:
    server = MemoryServer()
    async with member(server, Print(), passivate_after=passivate_after) as running:
        first = await begun(running, server)
        since = trio.current_time()
        with within(HOUR, "it is not asked for again"):
            second = await taken(server, "press.print")
        assert 30 <= trio.current_time() - since < 40
        assert (second.key, second.attempt) == (first.key, 2)
        record = await record_of(await running.runtime.get(Print, "1"))
        assert not record.steps["book"].alive


async def test_silence_is_asked_by_check_as_a_timeout_is(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Look()) as running:
        command = await begun(running, server, Look)
        with within(HOUR, "the check is not asked"):
            check = await taken(server, "press.printed")
        assert (check.kind, check.action_key, check.heartbeat) == ("check", command.key, 30.0)
        record = await record_of(await running.runtime.get(Look, "1"))
        assert record.steps["book"].error == "no sign of life of press.print for 30 s"


async def test_a_participant_that_has_not_begun_may_be_silent(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        await running.runtime.start(Print, "1", 7)
        await taken(server, "press.print")
        await trio.sleep(HOUR - 10)
        assert not server.commands


async def test_heartbeats_write_the_record_once_and_never_prolong_the_timeout(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        started = trio.current_time()
        command = await begun(running, server)
        version = await version_of(running)
        while trio.current_time() < started + HOUR - 20:
            await trio.sleep(10)
            beat(server, command)
        assert await version_of(running) == version
        assert not server.commands
        with within(30, "the timeout is over, and the command is not sent again"):
            assert (await taken(server, "press.print")).attempt == 2


async def test_heartbeats_that_lie_in_the_inbox_do_not_hold_up_the_timeout(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        command = await begun(running, server)
        for _ in range(130):
            beat(server, command)
            server.inbox[-1].again_at = trio.current_time() + 1.5 * HOUR  # a worker that was lost had it in hand
            await trio.sleep(28)
        with within(30, "a heartbeat is taken for a reply"):
            assert (await taken(server, "press.print")).attempt == 2


async def test_a_heartbeat_in_the_inbox_is_found_before_silence_is_believed(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        command = await begun(running, server)
        await trio.sleep(20)
        beat(server, command)
        server.inbox[-1].again_at = trio.current_time() + 60  # until then a worker that was lost has it in hand
        await trio.sleep(85)
        assert not server.commands
        with within(60, "silence after that heartbeat is not found"):
            assert (await taken(server, "press.print")).attempt == 2


@pytest.mark.parametrize("saga", [Print, Timed])
async def test_sagas_that_wait_for_one_place_do_not_look_without_a_pause(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, saga: type[Saga[int]]
) -> None:
    looks = 0
    waits = MemoryInbox.reply_waits

    async def counted(self: MemoryInbox, key: SagaKey, service: str, *, or_heartbeat: bool = False) -> bool:
        nonlocal looks
        looks += 1
        await trio.sleep(0.01)
        return await waits(self, key, service, or_heartbeat=or_heartbeat)

    monkeypatch.setattr(MemoryInbox, "reply_waits", counted)
    server = MemoryServer()
    async with member(server, saga(), passivate_after=5.0, max_active=1) as running:
        commands: list[StepCommand] = []
        for number in range(2):
            await running.runtime.start(saga, str(number), 7)
            commands.append(await taken(server, "press.print"))
            beat(server, commands[-1])
            await until_taken(server)
        await trio.sleep(20)
        for command in commands:
            reply(server, command, "done", payload=7)
            server.inbox[-1].again_at = trio.current_time() + 40  # until then a worker that was lost has it in hand
        await trio.sleep(38)
        assert 20 <= looks <= 2 * 38 / LOOK_AGAIN
        assert not server.commands


async def test_a_heartbeat_that_comes_during_the_look_counts(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        command = await begun(running, server)
        waits = MemoryInbox.reply_waits

        async def slow(self: MemoryInbox, key: SagaKey, service: str, *, or_heartbeat: bool = False) -> bool:
            found = await waits(self, key, service, or_heartbeat=or_heartbeat)
            beat(server, command)
            await until_taken(server)
            return found

        monkeypatch.setattr(MemoryInbox, "reply_waits", slow)
        await trio.sleep(300)
        assert not server.commands


async def test_a_passivated_saga_is_not_woken_by_heartbeats_and_finds_silence(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), passivate_after=5.0) as running:
        command = await begun(running, server)
        await trio.sleep(10)
        assert running.runtime.passivated == 1
        for _ in range(30):
            beat(server, command)
            await trio.sleep(20)
            assert running.runtime.passivated == 1
        assert not server.inbox
        with within(HOUR, "silence is not found"):
            assert (await taken(server, "press.print")).attempt == 2


async def test_a_saga_has_one_alarm_however_often_it_was_passivated(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings: list[str] = []
    ring = ActiveSagas.ring

    def counted(self: ActiveSagas, key: str) -> None:
        rings.append(key)
        ring(self, key)

    monkeypatch.setattr(ActiveSagas, "ring", counted)
    server = MemoryServer()
    async with member(server, Print(), passivate_after=5.0) as running:
        command = await begun(running, server)
        for number in range(20):
            beat(server, command, payload=number)  # wakes the saga
            await trio.sleep(20)
            assert running.runtime.passivated == 1
        rings.clear()
        for _ in range(20):
            beat(server, command)
            await trio.sleep(20)
        assert 10 <= len(rings) <= 30
        with within(40, "silence is not found"):
            assert (await taken(server, "press.print")).attempt == 2


async def test_heartbeats_that_are_late_or_foreign_leave_no_trace(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print()) as running:
        first = await begun(running, server)
        with within(HOUR, "it is not asked for again"):
            second = await taken(server, "press.print")
        version = await version_of(running)
        for strange in ({"attempt": 1}, {"attempt": 3}, {"run": "another"}, {"key": "nothing"}, {"key": ""}):
            beat(server, second, **strange)
        beat(server, first)
        await until_taken(server)
        assert await version_of(running) == version
        reply(server, second, "done", payload=7)
        beat(server, second)
        handle = await running.runtime.get(Print, "1")
        with within(60, "it does not end"):
            assert await handle.outcome() == Completed(None)
        beat(server, second)
        beat(server, second, run="another")
        beat(server, structs.replace(second, reply_to="sagareply.press.Print.nobody"))
        await until_taken(server)
        assert not server.dead


async def test_the_heartbeat_of_a_step_that_asks_for_none_changes_nothing(autojump_clock: Clock) -> None:
    class Plain(Saga[int]):
        book = remote("press.print", int, send=lambda pages, ctx: pages, compensate=None)

    server = MemoryServer()
    async with member(server, Plain()) as running:
        await running.runtime.start(Plain, "1", 7)
        command = await taken(server, "press.print")
        assert command.heartbeat is None
        version = await version_of(running, Plain)
        beat(server, command)
        await until_taken(server)
        assert await version_of(running, Plain) == version


async def test_progress_is_in_the_record_until_the_attempt_ends_and_costs_few_writes(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Print())
        command = await begun(first, server)
        version = await version_of(first)
        for number in range(40):
            beat(server, command, payload={"pages": number})
            await trio.sleep(0.5)
        assert await version_of(first) - version in (4, 5)
        told = await version_of(first)
        beat(server, command, payload="x" * 9_000)
        beat(server, command, payload=1, attempt=2)
        await until_taken(server)
        assert await version_of(first) == told
        first.kill()
        second = await start(server, Print())
        handle = await second.runtime.get(Print, "1")
        with within(600, "the saga is not adopted"):
            while (await record_of(handle)).epoch == 1:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.5)
        (step,) = (await second.runtime.describe(Print, "1")).steps
        assert step.progress_at is not None
        assert 30 < step.progress["pages"] < 40
        server.commands.clear()
        with within(HOUR, "silence is not found"):
            assert (await taken(server, "press.print")).attempt == 2
        (step,) = (await second.runtime.describe(Print, "1")).steps
        assert (step.progress, step.progress_at) == (None, None)


async def test_progress_is_told_of_a_step_that_asks_for_no_heartbeats(autojump_clock: Clock) -> None:
    class Plain(Saga[int]):
        book = remote("press.print", int, send=lambda pages, ctx: pages, compensate=None)

    server = MemoryServer()
    async with member(server, Plain(), passivate_after=1.0) as running:
        await running.runtime.start(Plain, "1", 7)
        command = await taken(server, "press.print")
        await trio.sleep(5)
        beat(server, command, payload=0.5)
        await until_taken(server)
        (step,) = (await running.runtime.describe(Plain, "1")).steps
        assert step.progress == 0.5
        await trio.sleep(20)
        assert not server.commands, "its silence counts"
