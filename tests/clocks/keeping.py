"""Three workers whose wall clocks are hours apart: does every worker keep each time, whatever jumps?

The first worker takes all sagas, and is killed while they wait. The others adopt them, and their clocks jump meanwhile,
one forward and one back. An observer measures by the monotonic clock.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio
from sagakit import Config
from sagakit.engine import Loaded, Record, decode
from sagakit.store.ports import Store
from sagakit.system.open_store import open_store

from tests.cli.processes import ROOT, SAGAKIT, start
from tests.clocks.faked import SEEN_WITHIN, WallClock
from tests.clocks.jobs import EXPECTED, notes

HOUR = 3600.0
PATIENCE = 60.0
"""Seconds until a silent process counts as broken, and a time as not kept at all."""


class Worker:
    """A `sagakit worker` with its own wall clock, and a log in JSON."""

    def __init__(self, name: str, folder: Path, url: str, namespace: str, *, ahead: float) -> None:
        self.name = name
        self.clock = WallClock(folder / f"{name}.clock", ahead)
        self._log = folder / f"{name}.log"
        options = ["--namespace", namespace, "--log-format", "json", "--health", "127.0.0.1:0"]
        command = [SAGAKIT, "worker", "tests.clocks.jobs:sagas", "--nats", url, *options]
        environment = os.environ | self.clock.environment | {"CLOCKS_FOLDER": str(folder)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, start_new_session=True)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The worker's log lines so far."""
        whole = self._log.read_bytes().rpartition(b"\n")[0]
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    async def said(self, text: str) -> dict[str, Any]:
        """Return the line whose message has `text`, once it exists."""
        await until(lambda: any(text in line["message"] for line in self.lines), self)
        return next(line for line in self.lines if text in line["message"])

    async def skew(self) -> float:
        """Return the skew of its wall clock from its metrics; inf if they have none."""
        url = (await self.said("health at"))["url"]
        async with httpx.AsyncClient(timeout=60, trust_env=False, verify=False) as client:
            text = (await client.get(f"{url}/metrics")).text
        found = re.search(r"^sagakit_clock_skew_seconds (\S+)$", text, re.MULTILINE)
        return inf if found is None else float(found[1])

    async def stop(self) -> None:
        """Send SIGTERM, and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        await until(lambda: self.process.poll() is not None)

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait()


async def until(so: Callable[[], bool], *workers: Worker) -> None:
    """Wait until `so` is true. Raises trio.TooSlowError, and RuntimeError when a worker has ended meanwhile."""
    with trio.fail_after(PATIENCE):
        while not so():
            for worker in workers:
                if worker.process.poll() is not None:
                    raise RuntimeError(f"worker {worker.name} has ended: {worker.lines}")
            await trio.sleep(0.02)  # the workers are other processes


class Kept(msgspec.Struct, frozen=True):
    """A saga's wait: its expected and its real duration, in seconds."""

    saga: str
    expected: float
    took: float

    @property
    def late(self) -> float:
        """Seconds by which the time came late; negative means early."""
        return self.took - self.expected


class Report(msgspec.Struct):
    """The result of a run. `wrong` lists problems other than times that were not kept."""

    kept: list[Kept]
    wrong: list[str]


async def run(folder: Path, url: str, namespace: str, *, ahead: float = HOUR, each: int = 3) -> Report:
    """Run in an empty folder, with so many sagas of each kind; nothing is left running.

    The first worker's clock is `ahead` by so many seconds, as is that of one of the others; the last one's is behind.
    """
    async with open_store(url, Config(namespace=namespace)) as store, _workers() as begin:
        first = await begin(Worker("first", folder, url, namespace, ahead=ahead))
        sagas = [f"{saga_type}.{number}" for saga_type in EXPECTED for number in range(each)]
        for saga in sagas:
            await start(url, namespace, *saga.split("."))
        await until(lambda: _at(folder, "held").keys() == set(sagas), first)
        same = await begin(Worker("same", folder, url, namespace, ahead=ahead))
        other = await begin(Worker("other", folder, url, namespace, ahead=-ahead))
        (folder / "gate").touch()
        await until(lambda: _at(folder, "waits").keys() == set(sagas), first)
        await trio.sleep(1)
        first.kill()
        await trio.sleep(2)
        for worker in (same, other):
            worker.clock.set(2 * worker.clock.ahead)
        with suppress(trio.TooSlowError):
            await until(lambda: _at(folder, "due").keys() == set(sagas), same, other)
        await trio.sleep(SEEN_WITHIN)
        dead = (await first.said("is up"))["worker_id"]
        wrong = [text for worker in (same, other) for text in await _misjudged(worker, dead)]
        wrong += [text for saga in sagas if (text := _of_record(saga, await _record(store, saga)))]
        for worker in (same, other):
            await worker.stop()
    waits, due = _at(folder, "waits"), _at(folder, "due")
    kept = [Kept(saga, EXPECTED[saga.split(".")[0]], due.get(saga, inf) - waits[saga]) for saga in sagas]
    return Report(kept, wrong)


@asynccontextmanager
async def _workers() -> AsyncIterator[Callable[[Worker], Any]]:
    begun: list[Worker] = []

    async def begin(worker: Worker) -> Worker:
        begun.append(worker)
        await worker.said("is up")
        return worker

    try:
        yield begin
    finally:
        for worker in begun:
            worker.kill()


def _at(folder: Path, what: str) -> dict[str, float]:
    """Return when each saga first noted this."""
    return {note.saga: note.at for note in reversed(notes(folder)) if note.what == what}


async def _record(store: Store, saga: str) -> Record:
    for bucket in (store.state, store.archive):
        entry = await bucket.get(saga)
        found = None if entry is None else decode(saga, entry.value)
        if isinstance(found, Loaded):
            return found.record
    raise AssertionError(f"{saga} is gone")


def _of_record(saga: str, record: Record) -> str:
    """Return the problem with a final record, if any.

    A harmed lease would show as a second adoption, and a time that was not kept as another cause.
    """
    cause = None if record.failure is None else record.failure.cause
    wanted = "deadline" if saga.startswith("Ends.") else None
    if (record.epoch, cause) != (2, wanted):
        return f"{saga} is {record.status} in epoch {record.epoch}, cause {cause}"
    return ""


async def _misjudged(worker: Worker, dead: str) -> list[str]:
    """Return false statements of a survivor: about a worker other than the dead one, or about its clock."""
    found: list[str] = []
    for line in worker.lines:
        lost = "is dead" in line["message"] and dead not in line["message"]
        if lost or "fenced" in line["message"] or line["level"] in ("ERROR", "CRITICAL"):
            found.append(f"{worker.name} said: {line['message']}")

    def told() -> list[str]:
        return [line["message"] for line in worker.lines if "wall clock" in line["message"]]

    with suppress(trio.TooSlowError):  # it looks once a second, and asks the server first
        await until(lambda: len(told()) >= 2, worker)
    says = "ahead of" if worker.clock.ahead > 0 else "behind"
    if [says in text for text in told()] != [True, True]:
        found.append(f"{worker.name} said of its clock: {told()}")
    skew = await worker.skew()
    if abs(skew - worker.clock.ahead) > 30:
        found.append(f"{worker.name} is {skew:.1f} s ahead by its metrics, {worker.clock.ahead:.1f} s in truth")
    return found
