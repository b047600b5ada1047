"""An asyncio program whose trio thread does not start, or has to end at once, while its own loop goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sagakit.asyncio
import trio
from sagakit import Completed, Context, Saga, step
from sagakit.jetstream.bridge import in_place
from sagakit.jetstream.host import open_host

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.test_asyncio import program

NO_FILES_LEFT = """
import asyncio, gc, os, resource, sys, warnings
import sagakit.asyncio
from sagakit.errors import SagakitError
from tests.test_asyncio import OnHost, Trip

async def attempt(url, namespace):
    async with asyncio.timeout(60):
        options = {"namespace": namespace, "connect_timeout": 0.5}
        async with sagakit.asyncio.open_runtime(url, sagas=[OnHost()], **options) as sagas:
            await sagas.execute(OnHost, None, Trip())

async def tick(ticks):
    while True:
        ticks.append(1)
        await asyncio.sleep(0.01)

def used_up(free):
    held = []
    while True:
        try:
            held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            break
    for _ in range(free):
        os.close(held.pop())
    return held

def count():
    gc.collect()
    return len(os.listdir("/dev/fd"))

async def main(url, namespace):
    ticks = []
    ticking = asyncio.create_task(tick(ticks))
    await attempt(url, namespace)  # so that all is imported
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    before, errors = count(), 0
    for free in range(25):
        held, seen = used_up(free), len(ticks)
        try:
            await attempt(url, namespace)
        except (OSError, SagakitError) as error:
            errors += 1
        finally:
            for one in held:
                os.close(one)
        if len(ticks) == seen and free > 5:
            sys.exit(f"with {free} files left the loop stood still")
        if count() != before:
            sys.exit(f"with {free} files left {count() - before} were left open")
        if not free and not errors:
            sys.exit("with no file left it opened")
    ticking.cancel()
    print("errors:", errors)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("where", ["memory:", "server"])
def test_without_files_for_trio_the_host_is_told_and_goes_on(where: str, server: Server, namespace: str) -> None:
    """The process has used up its files: with any number left, the runtime opens or says why it cannot."""
    url = server.url if where == "server" else where
    command = [sys.executable, "-c", NO_FILES_LEFT, url, namespace]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 3 <= int(done.stdout.removeprefix("errors: ")) < 25


ROOT = Path(__file__).parent.parent


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name in ("sagakit", "asyncio"):  # those of others go on
            raise RuntimeError("can't start new thread")
        begin(self)

    monkeypatch.setattr(threading.Thread, "start", start)


async def test_without_a_thread_no_loop_is_left_behind(no_threads: None) -> None:
    """A loop that is not closed is a warning, and warnings are errors here."""
    with pytest.raises(RuntimeError, match="can't start new thread"):
        async with open_host():
            raise AssertionError("it opened")
    with in_place() as call:
        for _ in range(2):  # the second one must not wait for a loop that never ran
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await call(asyncio.sleep, 0)


def test_without_a_thread_the_host_is_told(no_threads: None) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]):
                raise AssertionError("it opened")

    program(main)


def test_what_trio_raises_before_it_runs_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(main: Any, *args: Any) -> None:
        raise OSError("no room for trio")

    async def main() -> None:
        monkeypatch.setattr(trio, "run", fails)
        with pytest.raises(OSError, match="no room for trio"):
            async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]):
                raise AssertionError("it opened")
        monkeypatch.undo()
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")

    program(main)


def test_a_timeout_gets_through_while_trio_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has started the thread and does not run it yet: the cancellation waits for it."""
    run, come, go_on = trio.run, threading.Event(), threading.Event()

    def late(main: Any, *args: Any) -> Any:
        come.set()
        assert go_on.wait(60)
        return run(main, *args)

    async def opening() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]):
            raise AssertionError("it opened")

    async def main() -> None:
        monkeypatch.setattr(trio, "run", late)  # now that this loop runs, which may be one of trio-asyncio's
        task = asyncio.create_task(opening())
        await asyncio.to_thread(come.wait)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    program(main)


def test_a_host_that_is_cancelled_while_it_closes_ends_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain waits for a step on the host's loop, so that loop must not wait for the drain."""

    async def main() -> None:
        reached, leaving, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        class Slow(Saga[Trip], backend="asyncio"):
            @step(compensate=None, timeout=timedelta(hours=1))
            async def work(self, trip: Trip, ctx: Context) -> None:
                try:
                    reached.set()
                    await asyncio.sleep(3600)
                finally:
                    ended.set()

        async def serving() -> None:
            async with sagakit.asyncio.open_runtime("memory:", sagas=[Slow()], drain_timeout=3600.0) as runtime:
                await runtime.start(Slow, "one", Trip())
                await reached.wait()
                leaving.set()  # only now: the step may begin before the answer to `start` is here

        task = asyncio.create_task(serving())
        await leaving.wait()
        for _ in range(3):  # it closes now
            await asyncio.sleep(0)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    program(main)
