"""Heartbeats and progress over a real server: participants under asyncio and trio send them, the saga has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sagakit.asyncio
import trio
import trio.testing
from sagakit import Completed, Compressed, Context, PayloadCodec, Saga, open_runtime, remote
from sagakit.definition.payloads import is_sealed
from sagakit.participant import CommandContext, MemoryKeys, Service, open_asyncio_participant, open_participant
from sagakit.participant.server_time import ServerTime
from sagakit.participant.serving import Serving

from tests.looks import record_of
from tests.servers import Server

BOUND = 60


class Print(Saga[int, str]):
    book = remote(
        "press.print", str, send=lambda pages, ctx: pages, compensate=None, heartbeat_timeout=timedelta(seconds=3),
        timeout=timedelta(seconds=BOUND),
    )  # fmt: skip

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Print.book)


def press(until_told: Callable[[], Any], in_thread: Callable[[Callable[[], None]], Any]) -> Service:
    """Return a service whose handler tells its progress from a thread, and works until somebody has seen that."""
    service = Service("press")

    @service.endpoint("print")
    async def print_(pages: int, ctx: CommandContext) -> str:
        await in_thread(lambda: ctx.progress({"pages": pages, "of": "a long book " * 30}))
        await in_thread(ctx.heartbeat)
        await until_told()
        return "a book"

    return service


PACKED = Compressed(above=1)


@pytest.mark.parametrize(
    ("worker_codec", "codec"), [(None, None), (PACKED, PACKED), (PACKED, None)], ids=["plain", "sealed", "half"]
)
async def test_under_trio(
    server: Server, namespace: str, worker_codec: PayloadCodec | None, codec: PayloadCodec | None
) -> None:
    told = trio.Event()
    with trio.fail_after(2 * BOUND):
        async with (
            open_runtime(server.url, sagas=[Print()], namespace=namespace, payload_codec=worker_codec) as runtime,
            open_participant(
                server.url,
                press(told.wait, trio.to_thread.run_sync),
                keys=MemoryKeys(),
                namespace=namespace,
                payload_codec=codec,
            ),
        ):
            handle = await runtime.start(Print, "1", 7)
            while not any(step.progress for step in (await runtime.describe(Print, "1")).steps):  # noqa: ASYNC110
                await trio.sleep(0.05)
            (step,) = (await runtime.describe(Print, "1")).steps
            assert (step.progress["pages"], step.progress_at is None) == (7, False)
            stored = (await record_of(handle)).steps["book"].progress
            assert is_sealed(stored) == (worker_codec is not None)
            assert "progress {'pages': 7, " in str(await runtime.describe(Print, "1"))
            told.set()
            assert await handle.outcome() == Completed("a book")
            assert (await runtime.describe(Print, "1")).steps[0].progress is None


def test_under_asyncio(server: Server, namespace: str) -> None:
    async def run() -> None:
        told = asyncio.Event()
        async with (
            asyncio.timeout(2 * BOUND),
            sagakit.asyncio.open_runtime(server.url, sagas=[Print()], namespace=namespace) as runtime,
            open_asyncio_participant(
                server.url, press(told.wait, asyncio.to_thread), keys=MemoryKeys(), namespace=namespace
            ),
        ):
            handle = await runtime.start(Print, "1", 7)
            while not any(step.progress for step in (await runtime.describe(Print, "1")).steps):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            told.set()
            assert await handle.outcome() == Completed("a book")

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())


async def test_a_participant_that_closes_shows_life_until_its_last_command_is_answered(
    server: Server, namespace: str
) -> None:
    begun, go_on = trio.Event(), trio.Event()
    service = Service("press")

    @service.endpoint("print")
    async def print_(pages: int, ctx: CommandContext) -> str:
        begun.set()
        await go_on.wait()
        return "a book"

    async with open_runtime(server.url, sagas=[Print()], namespace=namespace) as runtime:
        with trio.fail_after(2 * BOUND):
            handle = await runtime.start(Print, "1", 7)
            async with trio.open_nursery() as nursery:

                async def serve() -> None:
                    async with open_participant(server.url, service, keys=MemoryKeys(), namespace=namespace):
                        await begun.wait()

                nursery.start_soon(serve)
                while not (await record_of(handle)).steps["book"].alive:  # noqa: ASYNC110  # it is drained meanwhile
                    await trio.sleep(0.05)
                go_on.set()
            assert await handle.outcome() == Completed("a book")


async def test_a_command_that_is_begun_after_the_close_shows_life_too(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The participant is closed while the command waits for the server's time."""
    asks, answer, stopped, go_on = trio.Event(), trio.Event(), trio.Event(), trio.Event()
    now, stop = ServerTime.now, Serving.stop

    async def slow(self: ServerTime) -> float:
        asks.set()
        await answer.wait()
        return await now(self)

    def told(self: Serving) -> None:
        stop(self)
        stopped.set()

    monkeypatch.setattr(ServerTime, "now", slow)
    monkeypatch.setattr(Serving, "stop", told)
    keys = MemoryKeys(horizon=3600.0)
    async with open_runtime(server.url, sagas=[Print()], namespace=namespace) as runtime:
        with trio.fail_after(BOUND):
            handle = await runtime.start(Print, "1", 7)
            async with trio.open_nursery() as nursery:

                async def serve() -> None:
                    service = press(go_on.wait, trio.to_thread.run_sync)
                    async with open_participant(server.url, service, keys=keys, namespace=namespace, micro=False):
                        await asks.wait()

                nursery.start_soon(serve)
                await stopped.wait()
                await trio.testing.wait_all_tasks_blocked()
                answer.set()
                while not (await record_of(handle)).steps["book"].alive:  # noqa: ASYNC110
                    await trio.sleep(0.05)
                go_on.set()
            assert await handle.outcome() == Completed("a book")
