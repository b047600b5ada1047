"""Programs of both faces: one test runs on asyncio and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import pytest
import trio
from sagakit import outbox

Run: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]


def on_trio(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main)


def on_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    async def program() -> None:
        await main()

    asyncio.run(program())


each_face = pytest.mark.parametrize("run", [on_trio, on_asyncio])


def in_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def checkpoint(id: str) -> None:
    if in_asyncio():
        await asyncio.sleep(0)
    else:
        await trio.lowlevel.checkpoint()


async def forever() -> None:
    if in_asyncio():
        await asyncio.Event().wait()
    else:
        await trio.sleep_forever()


def running(
    relay: outbox.Relay, starter: outbox.Starter, *, until: Callable[[], bool], act: Callable[[], object] = bool
) -> Callable[[], Awaitable[None]]:
    """Return a program that runs the relay until a condition holds; `act` is called once, after the first look."""

    async def watch() -> None:
        acted = False
        while not until():
            if not acted and relay._seen is not None:
                acted = True
                act()
            if in_asyncio():
                await asyncio.sleep(0.001)  # it also looks for the moment to act, between two statements of the relay
            else:
                await trio.sleep(0.001)  # the same

    async def main() -> None:
        if in_asyncio():
            async with asyncio.timeout(60):
                task = asyncio.create_task(relay.run(starter))
                await watch()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        else:
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(relay.run, starter)
                    await watch()
                    nursery.cancel_scope.cancel()

    return main


async def cancelled(act: Callable[[], Awaitable[object]], moment: int) -> bool:
    """Cancel `act` when it waits for the nth time. Return True if it ended before that."""
    return await (_cancelled_on_asyncio if in_asyncio() else _cancelled_on_trio)(act, moment)


async def _cancelled_on_trio(act: Callable[[], Awaitable[object]], moment: int) -> bool:
    class Clock(trio.abc.Instrument):
        left = moment

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if task is me:
                self.left -= 1
                if self.left == 0:
                    scope.cancel()

    me, clock = trio.lowlevel.current_task(), Clock()
    with trio.CancelScope() as scope:
        trio.lowlevel.add_instrument(clock)
        try:
            await act()
        finally:
            trio.lowlevel.remove_instrument(clock)
    return not scope.cancel_called


async def _cancelled_on_asyncio(act: Callable[[], Awaitable[object]], moment: int) -> bool:
    me = asyncio.current_task()
    assert me is not None
    cancel = me.cancel

    class Stepwise:
        def __await__(self) -> Any:
            inner: Any = act().__await__()
            step, left = partial(inner.send, None), moment
            while True:
                try:
                    future = step()
                except StopIteration:
                    return
                left -= 1
                if left == 0:
                    cancel()
                try:
                    yield future
                    step = partial(inner.send, None)
                except BaseException as error:
                    step = partial(inner.throw, error)

    try:
        await Stepwise()
    except asyncio.CancelledError:
        return False
    return True
