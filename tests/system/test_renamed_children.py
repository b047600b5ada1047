"""A child belongs to the node that started it, also if a new version of its parent has another name for that node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, OldSaga, Saga, child, step
from sagakit.store.memory_server import MemoryServer
from sagakit.system.inbound.requests import Requests

from tests.system.members import killable, member
from tests.system.test_sealed import SECRET, codec

Clock = trio.testing.MockClock
sealed_or_not = pytest.mark.parametrize("options", [{}, {"payload_codec": codec("k1")}], ids=["plain", "sealed"])


class Kid(Saga[str, str]):
    @step(compensate=None)
    async def work(self, value: str, ctx: Context) -> str:
        return value

    def output(self, input: str, ctx: Context) -> str:
        return f"{input} ends"


class DadV1(Saga[str, str], name="Dad"):
    kid = child(Kid, lambda value, ctx: value)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(DadV1.kid)


class DadV2(Saga[str, str], name="Dad", version=2):
    son = child(Kid, lambda value, ctx: value)

    def migrate(self, old: OldSaga) -> None:
        old.rename("kid", DadV2.son)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(DadV2.son)


class DadV3(Saga[str, str], name="Dad", version=3):
    heir = child(Kid, lambda value, ctx: value)

    def migrate(self, old: OldSaga) -> None:
        old.rename("son", DadV3.heir)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(DadV3.heir)


@contextmanager
def nothing_sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no request reach the inbox."""

    async def send(*args: Any) -> None:
        await trio.sleep_forever()

    with monkeypatch.context() as patch:
        patch.setattr(Requests, "send", send)
        yield


async def version(running: Any, number: int) -> None:
    """Return when the saga has moved to this version."""
    with trio.fail_after(1000):
        while (await running.runtime.record("Dad.1")).definition_version != number:  # noqa: ASYNC110  # virtual time
            await trio.sleep(1)


async def begun_by_a_victim(server: MemoryServer, options: dict[str, Any]) -> None:
    """Have a saga begin under the first version, and kill its worker."""
    async with killable() as start:
        victim = await start(server, DadV1(), **options)
        await victim.runtime.start(DadV1, "1", SECRET)
        await trio.sleep(0.2)
        victim.kill()


@sealed_or_not
async def test_a_start_that_waits_in_the_inbox_is_made_after_its_parent_s_node_was_renamed(
    options: dict[str, Any], autojump_clock: Clock
) -> None:
    server = MemoryServer()
    await begun_by_a_victim(server, options)  # no worker has Kid: its start waits
    assert len(server.inbox) == 1
    async with member(server, DadV2(), **options) as running:
        await version(running, 2)
        async with member(server, Kid(), **options):
            with trio.fail_after(1000):
                outcome = await (await running.runtime.get(DadV2, "1")).outcome()
    assert outcome == Completed(f"{SECRET} ends")


@sealed_or_not
async def test_a_child_is_started_again_after_its_node_was_renamed(
    options: dict[str, Any], autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with nothing_sent(monkeypatch):
        await begun_by_a_victim(server, options)
        async with killable() as start:
            second = await start(server, DadV2(), **options)
            await version(second, 2)
            await trio.sleep(10)
            second.kill()
    assert not server.inbox
    async with member(server, DadV3(), Kid(), **options) as running:
        with trio.fail_after(1000):
            record = await running.runtime.ended("Dad.1", or_stuck=True)
            assert record.stuck is None
            outcome = await (await running.runtime.get(DadV3, "1")).outcome()
    assert outcome == Completed(f"{SECRET} ends")


@sealed_or_not
async def test_a_start_that_was_sent_under_the_second_name_is_made_after_the_node_has_a_third(
    options: dict[str, Any], autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with nothing_sent(monkeypatch):
        await begun_by_a_victim(server, options)
    async with killable() as start:
        second = await start(server, DadV2(), **options)  # sends the start under the new name
        await version(second, 2)
        await trio.sleep(10)
        second.kill()
    assert len(server.inbox) == 1
    async with member(server, DadV3(), **options) as running:
        await version(running, 3)
        async with member(server, Kid(), **options):
            with trio.fail_after(1000):
                outcome = await (await running.runtime.get(DadV3, "1")).outcome()
    assert outcome == Completed(f"{SECRET} ends")
