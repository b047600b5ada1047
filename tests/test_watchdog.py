"""Tests of the watchdog: the log names a step that blocks an event loop, with its line, also when the lease lapses."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
import sagakit.asyncio
import trio
from sagakit import Context, Reject, Saga, step
from sagakit.system import watchdog

Logged = pytest.LogCaptureFixture
TIMES = 3
"""Number of the watchdog's lines for which a step blocks the loop at least: the first, and two doublings."""

FIRST = 0.1
"""Seconds until the first line."""

ROUNDED = 0.05
"""Seconds that a line's seconds are off at most."""


class Blocking:
    """A callable that blocks the thread until the watchdog has logged enough lines about it."""

    def __init__(self, caplog: Logged) -> None:
        self._caplog = caplog

    def __call__(self, lines: int = TIMES) -> None:
        deadline = time.monotonic() + 60
        while len(said(self._caplog)) < lines and time.monotonic() < deadline:
            # the loop is blocked on purpose; the watchdog, which is a thread, quotes the whole line
            time.sleep(0.01)


def said(caplog: Logged) -> list[str]:
    """Return the watchdog's lines about `Blocking`. On a busy machine any code blocks a loop for a moment, too."""
    lines = [record.getMessage() for record in caplog.records if record.name == "sagakit.watchdog"]
    return [text for text in lines if "in __call__: time.sleep(0.01)" in text]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "FIRST", FIRST)
    monkeypatch.setattr(watchdog, "LOOK", 0.02)


class Slow(Saga[str, None]):
    """A saga that blocks in the place that its input names."""

    def __init__(self, block: Callable[[], None]) -> None:
        self.block = block

    @step
    async def charge(self, where: str, ctx: Context) -> None:
        if where == "action":
            self.block()

    @charge.compensate
    async def refund(self, where: str, result: None, ctx: Context) -> None:
        if where == "compensation":
            self.block()

    @step(compensate=None)
    async def label(self, where: str, ctx: Context) -> None:
        if where == "compensation":
            raise Reject("no")

    def output(self, input: str, ctx: Context) -> None:
        if input == "output":
            self.block()


class SlowOnAsyncio(Saga[str, None]):
    """A saga that blocks a loop of asyncio."""

    def __init__(self, block: Callable[[], None]) -> None:
        self.block = block

    @step(backend="asyncio", compensate=None)
    async def charge(self, where: str, ctx: Context) -> None:
        self.block()


class SlowInThread(Saga[str, None]):
    """A saga whose plain function outlives its timeout."""

    def __init__(self, block: Callable[[], None]) -> None:
        self.block = block

    @step(compensate=None, timeout=timedelta(milliseconds=50))
    def charge(self, where: str, ctx: Context) -> None:
        self.block()


def check(caplog: Logged, who: str) -> None:
    """Judge the lines: each names the step, and none comes before its doubling."""
    lines = said(caplog)
    assert len(lines) >= TIMES, caplog.text
    assert all(text.startswith(f"{who} at {__file__}:") for text in lines), lines
    found = [re.search(r"time.sleep\(0.01\) has blocked the \w+ loop for (.*) s: ", text) for text in lines]
    seconds = [float(match[1]) for match in found if match is not None]
    assert len(seconds) == len(lines), lines
    assert all(one + ROUNDED >= FIRST * 2**number for number, one in enumerate(seconds)), lines


@pytest.mark.parametrize(
    ("saga", "where", "who"),
    [
        (Slow, "action", "step charge of Slow.one (attempt 1)"),
        (Slow, "compensation", "the compensation of step charge of Slow.one (attempt 1)"),
        (Slow, "output", "a function of Slow.one"),
        (SlowOnAsyncio, "", "step charge of SlowOnAsyncio.one (attempt 1)"),
    ],
)
async def test_a_step_that_blocks_the_loop_is_named_with_its_line_at_each_doubling(
    caplog: Logged, saga: type[Slow | SlowOnAsyncio], where: str, who: str
) -> None:
    async with sagakit.open_runtime("memory:", sagas=[saga(Blocking(caplog))]) as runtime:
        await runtime.execute(saga, "one", where)
    check(caplog, who)


async def test_a_step_that_blocks_its_loop_in_a_thread_is_named(
    caplog: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Python 3.14, where asyncio steps do not run in trio's thread."""
    monkeypatch.setenv("SAGAKIT_ASYNCIO", "thread")
    async with sagakit.open_runtime("memory:", sagas=[SlowOnAsyncio(Blocking(caplog))]) as runtime:
        await runtime.execute(SlowOnAsyncio, "one", "")
    check(caplog, "step charge of SlowOnAsyncio.one (attempt 1)")


async def test_a_plain_function_that_outlives_its_timeout_is_named_with_its_line_at_each_doubling(
    caplog: Logged,
) -> None:
    async with sagakit.open_runtime("memory:", sagas=[SlowInThread(Blocking(caplog))]) as runtime:
        assert isinstance(await runtime.execute(SlowInThread, "one", ""), sagakit.Completed)
    lines = said(caplog)
    assert len(lines) >= TIMES, caplog.text
    who = f"step charge of SlowInThread.one (attempt 1) at {__file__}:"
    late = [re.fullmatch(rf"{re.escape(who)}.* in __call__: .* runs (.*) s longer than its timeout of 0.05 s: .*", text)
            for text in lines]  # fmt: skip
    seconds = [float(match[1]) for match in late if match is not None]
    assert len(seconds) == len(lines), lines
    assert all(later + ROUNDED >= 2 * (earlier - ROUNDED) for earlier, later in pairwise(seconds)), seconds


async def test_the_metrics_have_the_longest_block_of_each_loop(caplog: Logged) -> None:
    async with sagakit.open_runtime("memory:", sagas=[Slow(Blocking(caplog))]) as runtime:
        await runtime.execute(Slow, "one", "action")
        with trio.fail_after(60):
            while runtime.metrics()['loop_longest_block_seconds{loop="trio"}'] < 0.3:  # noqa: ASYNC110  # a sign is due
                await trio.sleep(0.01)
        found = runtime.metrics()
    total, longest = (
        found[f'loop_{name}{{loop="trio"}}'] for name in ("blocked_seconds_total", "longest_block_seconds")
    )
    assert 0.3 < longest <= total


async def test_code_outside_of_sagas_is_named_by_its_line(caplog: Logged) -> None:
    async with sagakit.open_runtime("memory:", sagas=[Slow(lambda: None)]) as runtime:
        await runtime.execute(Slow, "one", "")  # now the watchdog has seen the loop
        Blocking(caplog)()
    check(caplog, "code")


def test_a_step_that_blocks_the_hosts_asyncio_loop_is_named(caplog: Logged) -> None:
    async def main() -> None:
        saga = SlowOnAsyncio(Blocking(caplog))
        async with sagakit.asyncio.open_runtime("memory:", sagas=[saga]) as runtime:
            await runtime.execute(SlowOnAsyncio, "one", "")
            async with asyncio.timeout(60):
                while runtime.metrics()['loop_longest_block_seconds{loop="asyncio"}'] < 0.3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    check(caplog, "step charge of SlowOnAsyncio.one (attempt 1)")


async def test_a_lapsed_lease_names_the_step_that_blocked_the_loop(caplog: Logged) -> None:
    def block() -> None:
        Blocking(caplog)(1)
        time.sleep(1.1)

    async with sagakit.open_runtime("memory:", sagas=[Slow(block)], lease_ttl=1.0) as runtime:
        await runtime.execute(Slow, "one", "action")
        with trio.fail_after(60):
            while not lapses(caplog):  # noqa: ASYNC110  # the next renewal is due within a third of a second
                await trio.sleep(0.01)


def lapses(caplog: Logged) -> list[str]:
    """Return the lines about a lapse that name the step. On a busy machine a lease lapses for other reasons, too."""
    named = "the event loop was blocked by step charge of Slow.one (attempt 1) at "
    texts = map(logging.LogRecord.getMessage, caplog.records)
    return [text for text in texts if "was not renewed for" in text and named in text]
