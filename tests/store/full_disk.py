"""An embedded server on a disk of 8 MB: `python -m tests.store.full_disk [SCENARIO ...]`; without names, all of them.

The disk is a tmpfs in a mount namespace of its own, which nobody else sees and which goes with the process. Prints one
line of JSON a scenario.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio
from sagakit import Context, open_runtime
from sagakit.errors import SagakitError

from tests.looks import record_of
from tests.sagas import BookTrip, Trip

SAGAS = 20
LIMIT = 60.0
"""Seconds for what may never come."""
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
INSIDE = "SAGAKIT_FULL_DISK"
"""Set in the environment of the process that runs in the namespace."""

Found = dict[str, Any]


@contextmanager
def filled(disk: Path, *, leave: int = 0) -> Iterator[None]:
    """Take up all room but `leave` bytes."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
        try:
            file.write(bytes(max(0, room - leave)))
            while not leave:
                file.write(b"x")
        except OSError:
            pass
    try:
        yield
    finally:
        path.unlink()


class Words(logging.Handler):
    """Hears what is logged, and tells when a word falls."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word
        self.fell = trio.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if self._word in self.lines[-1]:
            self.fell.set()

    @contextmanager
    def of(self, name: str) -> Iterator[Words]:
        logger = logging.getLogger(name)
        logger.addHandler(self)
        try:
            yield self
        finally:
            logger.removeHandler(self)


async def recovers(disk: Path) -> Found:
    """Sagas that were under way when the disk became full end by themselves once there is room."""
    go_on = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        if name == "flight":
            await go_on.wait()

    saga = BookTrip(hook)
    words = Words("has stopped writing")
    with words.of("sagakit.embedded"):
        async with open_runtime(f"embedded://{disk}/data", sagas=[saga]) as runtime:
            handles = [await runtime.start(BookTrip, f"{n}", Trip()) for n in range(SAGAS)]
            with filled(disk):
                go_on.set()
                with trio.move_on_after(LIMIT):
                    await words.fell.wait()
                active = len(await runtime.list_active())
            outcomes, records = [], []
            with trio.move_on_after(LIMIT):
                outcomes += [type(await handle.outcome()).__name__ for handle in handles]
                records += [await record_of(handle) for handle in handles]
    attempts = {log.attempt for record in records for log in record.steps.values()}
    return {
        "active_while_full": active,
        "outcomes": sorted(set(outcomes)),
        "attempts": sorted(attempts),
        "calls": len(saga.calls),
        "log": words.lines,
    }


async def closes_full(disk: Path) -> Found:
    """A program that ends while the disk is full ends."""
    go_on = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        if name == "flight":
            await go_on.wait()

    words = Words("has stopped writing")
    with words.of("sagakit.embedded"), ExitStack() as full:
        async with open_runtime(f"embedded://{disk}/data", sagas=[BookTrip(hook)], drain_timeout=1.0) as runtime:
            await runtime.start(BookTrip, "one", Trip())
            full.enter_context(filled(disk))
            go_on.set()
            with trio.move_on_after(LIMIT):
                await words.fell.wait()
            began = trio.current_time()
        return {"seconds": trio.current_time() - began}


async def opens_full(disk: Path) -> Found:
    """Opening on a full folder is refused, and works once there is room."""
    async with open_runtime(f"embedded://{disk}/data", sagas=[BookTrip()]):
        pass
    with filled(disk):
        error = await _error_of_opening(disk)
    return error | {"afterwards": await _error_of_opening(disk)}


async def opens_read_only(disk: Path) -> Found:
    """Opening on a read-only folder is refused."""
    await trio.run_process(["mount", "-o", "remount,ro", str(disk)])
    return await _error_of_opening(disk)


async def opens_almost_full(disk: Path) -> Found:
    """A server that was started with little room uses what is freed later."""
    with ExitStack() as almost_full:
        almost_full.enter_context(filled(disk, leave=2 * 2**20))
        async with open_runtime(f"embedded://{disk}/data", sagas=[BookTrip()]) as runtime:
            almost_full.close()
            for n in range(30):
                await runtime._store.meta.put(f"padding.{n}", bytes(100_000))
            return {"outcome": type(await runtime.execute(BookTrip, "one", Trip())).__name__}


async def _error_of_opening(disk: Path) -> Found:
    try:
        async with open_runtime(f"embedded://{disk}/data", sagas=[BookTrip()]):
            return {}
    except SagakitError as error:
        return {"error": type(error).__name__, "text": str(error).replace(str(disk), "DISK")}


SCENARIOS: dict[str, Callable[[Path], Awaitable[Found]]] = {
    one.__name__: one for one in (recovers, closes_full, opens_full, opens_read_only, opens_almost_full)
}


def run(*names: str) -> dict[str, Found]:
    """Run scenarios, each on a disk of its own, in a process that has a namespace of its own."""
    command = [*NAMESPACE, sys.executable, "-m", "tests.store.full_disk", *names]
    env = {**os.environ, INSIDE: "1"}
    ended = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=10 * LIMIT)
    return {line["scenario"]: line["found"] for line in map(json.loads, ended.stdout.splitlines())}


def _run_here(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
        try:
            found = trio.run(SCENARIOS[name], Path(folder))
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    print(json.dumps({"scenario": name, "found": found}), flush=True)


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(SCENARIOS)
    if INSIDE in os.environ:
        for one in wanted:
            _run_here(one)
    else:
        for scenario, found in run(*wanted).items():
            print(scenario, json.dumps(found, indent=2))
