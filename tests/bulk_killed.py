"""A job of many sagas that is killed with `kill -9` in the middle and resumed: each saga gets the verb exactly once.

    python -m tests.bulk_killed [SAGAS]

It starts a server and a worker with 5,000 sagas that are stuck, runs `sagakit retry` on all of them, kills it once a
part of them has answered, resumes the job, and counts the events `operator.retry` of each saga.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import NamedTuple

import msgspec
import trio
from sagakit import Context, RetryPolicy, Saga, open_runtime, step
from sagakit.cli.operating_only import operating
from sagakit.client.by_key import open_plain
from sagakit.definition.payloads import PLAIN_PAYLOADS
from sagakit.engine import PersistedSagaState
from sagakit.engine.codec import decode_known
from sagakit.engine.events import CloudEvent, decode_event
from sagakit.store.ports import StoreReading
from sagakit.system.config import Config
from sagakit.system.open_store import open_store

from tests.child_lines import ChildLines
from tests.servers import running_server

ROOT = Path(__file__).parents[1]
SAGAKIT = str(Path(sys.executable).parent / "sagakit")
ONCE = RetryPolicy(max_attempts=1, initial_interval=timedelta(milliseconds=10))
PATIENCE = 120.0
"""Seconds that anything here may take."""
SMALLEST_PIPE = 4096
"""Bytes that the kernel keeps at least for the reader of a pipe: the verdicts of a few dozen sagas."""
PART = 512
"""Bytes that are read of it at once: a few verdicts."""


class Parcel(msgspec.Struct, frozen=True):
    """The carrier takes the parcel once the file `carrier` exists."""

    carrier: str


class Post(Saga[Parcel]):
    """A saga that is stuck while the carrier is away."""

    @step(pivot=True, retry=ONCE)
    async def hand_over(self, parcel: Parcel, ctx: Context) -> None:
        if not os.path.exists(parcel.carrier):  # noqa: ASYNC240  # thousands of sagas ask
            raise ConnectionError("carrier: 503")


class Command(NamedTuple):
    """The end of a command: its exit code, what it has said, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def job(self) -> str:
        """The id of the job that it has written."""
        found = re.search(r"job (\d+-\d+-[0-9a-f]+)", self.err)
        assert found is not None, self.err
        return found[1]


class Depot:
    """A server, a worker process, and as many parcels as were asked for, each of them stuck."""

    def __init__(self, url: str, folder: Path, count: int) -> None:
        self.url = url
        self.folder = folder
        self.count = count
        self.report = folder / "report"

    def open_carrier(self) -> None:
        (self.folder / "carrier").touch()

    def command(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SAGAKIT, *words, "--nats", self.url], cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> Command:
        began = time.perf_counter()
        process = self.command(*words)
        out, err = process.communicate(timeout=PATIENCE)
        return Command(process.returncode, out, err, time.perf_counter() - began)

    def retry(self, *words: str) -> Command:
        return self.job("retry", *words)

    def job(self, verb: str, *words: str) -> Command:
        """Run a command for many sagas to its end."""
        return self.run(verb, *words, "--report", str(self.report), "-o", "none")

    def killed(self, verb: str, *words: str, after: int) -> Command:
        """Run a command for many sagas, and kill it once so many of them have answered.

        Its report is a small pipe that nobody reads any further, so the command cannot come to its end before.
        """
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        with (
            open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as end,
            self.report.open("ab") as report,
        ):
            fcntl(end, F_SETPIPE_SZ, SMALLEST_PIPE)

            def look() -> None:
                report.write(end.read(PART) or b"")
                report.flush()

            process = self.command(verb, *words, "--report", str(pipe), "-o", "none")
            try:
                self.await_reported(after, process, look)
            finally:
                process.kill()
                out, err = process.communicate()
            report.write(end.read() or b"")
        pipe.unlink()
        return Command(process.returncode, out, err, 0.0)

    def await_reported(
        self, count: int, process: subprocess.Popen[str], look: Callable[[], None] = lambda: None
    ) -> None:
        """Return once so many sagas have answered the command. Call `look` before each look at the report."""
        until = time.monotonic() + PATIENCE
        look()
        while self.reported() < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)  # another process writes the file
            look()

    def reported(self) -> int:
        return self.report.read_bytes().count(b"\n") if self.report.exists() else 0

    def send_retries(self, key: str, count: int) -> None:
        """Send a saga so many retries, one after the other."""
        trio.run(self._send_retries, key, count)

    async def _send_retries(self, key: str, count: int) -> None:
        with trio.fail_after(PATIENCE):
            async with open_plain(self.url, Config()) as sagas:
                record, desk = await sagas.record(key), operating(sagas, Config(), PLAIN_PAYLOADS)
                for _ in range(count):
                    await desk.send(record, "retry", reason="again", by="test", timeout=PATIENCE)

    def retried(self) -> Counter[str]:
        """Return how often each saga was retried, by its events."""
        return trio.run(self._retried)

    async def _retried(self) -> Counter[str]:
        with trio.fail_after(PATIENCE):
            async with open_store(self.url, Config()) as store:
                written = await _events_by_records(store.reading)
                while True:
                    events = await _events(store.reading)
                    if written <= Counter(event.run for event in events):
                        return Counter(one.subject for one in events if one.type.endswith(".operator.retry"))
                    await trio.sleep(0.05)  # a verdict is known before the worker has published the events


async def _events_by_records(reading: StoreReading) -> Counter[str]:
    """Return the number of events that the records name, by run."""
    found: Counter[str] = Counter()
    for stream in (reading.state[0], reading.archive[0]):
        async for page in stream.values(["Post.*"]):
            records = [decode_known(one.key, one.value) for one in page]
            found |= Counter({one.run: one.next_event - 1 for one in records if isinstance(one, PersistedSagaState)})
    return found


async def _events(reading: StoreReading) -> list[CloudEvent]:
    pages = [page async for page in reading.events[0].values(["saga.Post.>"])]
    found = [decode_event(one.value) for page in pages for one in page]
    return [event for event in found if event is not None]


@contextmanager
def depot(folder: Path, count: int, *, config: str = "") -> Iterator[Depot]:
    """Run a server and a worker with so many stuck parcels while the context is open."""
    with running_server(folder / "server", config=config) as server:
        command = [sys.executable, "-m", "tests.bulk_killed", "--worker", server.url, str(folder), str(count)]
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        try:
            assert ChildLines(worker, log=folder / "worker.log").next() == b"stuck\n"
            yield Depot(server.url, folder, count)
        finally:
            worker.kill()
            worker.communicate()


async def work(url: str, folder: Path, count: int) -> None:
    """Start the parcels, say when all are stuck, and go on until killed."""
    async with open_runtime(url, sagas=[Post()], worker_name="post") as runtime:
        limit = trio.CapacityLimiter(500)

        async def start(number: int) -> None:
            async with limit:
                handle = await runtime.start(Post, f"p-{number}", Parcel(str(folder / "carrier")))
                await runtime.ended(handle.key, or_stuck=True)

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(start, number)
        sys.stdout.write("stuck\n")
        sys.stdout.flush()
        await trio.sleep_forever()


def once_each(depot: Depot) -> list[str]:
    """Return what is wrong: sagas that got the verb not once."""
    found = depot.retried()
    return [f"p-{number}: {found[f'p-{number}']}" for number in range(depot.count) if found[f"p-{number}"] != 1]


def main(words: Sequence[str]) -> int:
    """Show it for as many sagas as the command line says. Return the exit code."""
    count = int(words[0]) if words else 5000
    with tempfile.TemporaryDirectory() as name, depot(Path(name), count) as found:
        found.open_carrier()
        order = ("Post.*", "--reason", "the carrier is back", "--yes")
        killed = found.killed("retry", *order, after=count // 3)
        reported = found.reported()
        print(f"killed with signal {-killed.code} after {reported:,} of {count:,} sagas had answered")
        resumed = found.retry("--resume", killed.job)
        print(resumed.err.strip())
        print(f"resumed in {resumed.seconds:.1f} s, exit code {resumed.code}")
        print(found.run("jobs").out.strip())
        wrong = once_each(found)
        print(f"{count - len(wrong):,} of {count:,} sagas were retried exactly once", *wrong[:10], sep="\n  ")
        return 1 if wrong or resumed.code or killed.code != -signal.SIGKILL else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        trio.run(work, sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main(sys.argv[1:]))
