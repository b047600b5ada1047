"""A missing payload means null: in a signal, a step completed by hand, a report, and a child without output."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit import (
    Completed,
    Context,
    OldSaga,
    RetryPolicy,
    Saga,
    child,
    open_runtime,
    signal,
    step,
)
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.servers import Server
from tests.system.inbox_sender import send
from tests.system.members import killable, member, until_ended

Clock = trio.testing.MockClock


class Kid(Saga[int]):
    """A saga without output."""

    @step(compensate=None)
    async def grow(self, n: int, ctx: Context) -> None: ...


class Parent(Saga[int, str]):
    kid = child(Kid, lambda n, ctx: n)

    @step(kid, compensate=None)
    async def take(self, n: int, kid: None, ctx: Context) -> str:
        return f"taken {kid}, asked for {ctx.result(Parent.kid)}"

    def output(self, input: int, ctx: Context) -> str:
        return f"{ctx.result(Parent.take)}, at last {ctx.result(Parent.kid)}"


TOLD = Completed("taken None, asked for None, at last None")


@pytest.mark.parametrize("where", ["memory:", "server"])
async def test_the_result_of_a_child_without_output_is_none(where: str, server: Server, namespace: str) -> None:
    url = server.url if where == "server" else where
    async with open_runtime(url, sagas=[Parent(), Kid()], namespace=namespace) as runtime:
        with trio.fail_after(60):
            handle = await runtime.start(Parent, "1", 1)
            assert await handle.outcome() == TOLD
            assert bytes((await record_of(handle)).steps["kid"].result) == b"null", "readable by callers"


async def test_the_result_is_none_when_another_worker_runs_the_child(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await start(server, Kid())
        parent = await start(server, Parent())
        with trio.fail_after(600):
            assert await parent.runtime.execute(Parent, "1", 1) == TOLD
        await until_ended(server, "Parent.1")


class Waits(Saga[int, str]):
    """Two signals, one of which carries nothing, and a step that waits for an operator."""

    bell = signal(str | None)
    name = signal(str)

    @step(after=(), retry=RetryPolicy(max_attempts=1), on_unknown="ask", compensate=None)
    async def ring(self, n: int, ctx: Context) -> None:
        raise OSError("no answer")

    @step(after=(), retry=RetryPolicy(max_attempts=1), on_unknown="ask", compensate=None)
    async def ask(self, n: int, ctx: Context) -> str:
        raise OSError("no answer")

    def output(self, input: int, ctx: Context) -> str:
        return " ".join(str(ctx.result(node)) for node in (Waits.bell, Waits.name, Waits.ring, Waits.ask))


async def test_a_message_without_a_payload_means_null_or_is_refused(server: Server, namespace: str) -> None:
    subject, operator = f"{namespace}.sagain.Waits.1", f"{namespace}.sagaop.Waits.1"
    async with open_runtime(server.url, sagas=[Waits()], namespace=namespace) as runtime:
        handle = await runtime.start(Waits, "1", 1)
        with trio.fail_after(60):
            while {(await record_of(handle)).steps[name].state for name in ("ring", "ask")} != {"asked"}:  # noqa: ASYNC110
                await trio.sleep(0.05)
            await send(
                server,
                *(subject, "m1", '{"kind": "signal", "step": "bell"}'),
                *(subject, "m2", '{"kind": "signal", "step": "name"}'),
                *(operator, "m3", '{"kind": "complete-step", "step": "ring"}'),
                *(operator, "m4", '{"kind": "complete-step", "step": "ask"}'),
                *(operator, "m5", '{"kind": "report", "step": "ask"}'),
            )
            while len((await record_of(handle)).inbound) < 5:  # noqa: ASYNC110  # no event tells
                await trio.sleep(0.05)
            verdicts = {known.id: known.verdict for known in (await record_of(handle)).inbound}
            assert (verdicts["m1"], verdicts["m3"]) == ("accepted", "accepted")
            assert verdicts["m2"] == "refused: the payload is not what name takes: Expected `str`, got `null`"
            assert verdicts["m4"] == "refused: the payload is not what ask takes: Expected `str`, got `null`"
            assert verdicts["m5"] == verdicts["m4"]
            await runtime.signal(Waits, "1", Waits.name, "ann")
            await handle.complete_step("ask", "yes", "by hand")
            assert await handle.outcome() == Completed("None ann None yes")


async def test_a_report_without_a_payload_settles_a_step_in_doubt(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Waits()) as running:
        handle = await running.runtime.start(Waits, "1", 1)
        await trio.sleep(1)
        assert await running.runtime.apply(handle.key, "report", step="ring") == "accepted"
        assert bytes((await record_of(handle)).steps["ring"].result) == b"null"


class Old(Saga[int], name="Line", version=1):
    kid = child(Kid, lambda n, ctx: n)
    stay = signal(str, after=[kid])


class New(Saga[int, str], name="Line", version=2):
    kid = child(Kid, lambda n, ctx: n)
    stay = signal(str, after=[kid])

    def migrate(self, old: OldSaga) -> None:
        old.set_result("kid", old.results["kid"])

    def output(self, input: int, ctx: Context) -> str:
        return f"{ctx.result(New.kid)}"


async def test_a_migration_finds_the_null_result(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, Old(), Kid())
        handle = await victim.runtime.start(Old, "1", 1)
        with trio.fail_after(600):
            while "stay" not in (await record_of(handle)).steps:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        victim.kill()
        heir = await start(server, New(), Kid())
        with trio.fail_after(600):
            await heir.runtime.signal(New, "1", New.stay, "go")
            assert await (await heir.runtime.get(New, "1")).outcome() == Completed("None")
