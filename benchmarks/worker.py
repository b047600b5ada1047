"""A worker in a separate process: `python -m benchmarks.worker`, driven by one parent over pipes.

It reads one `Task` as a JSON line, opens a runtime, warms up and prints `ready`. At each further line it runs the load
and answers with a `Report`. Closing its standard input ends it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import msgspec
import trio
from sagakit import Completed, Failed, Runtime, Saga, open_runtime

from benchmarks.load import OpenLoop, closed, retired, start_all
from benchmarks.servers import die_with_owner
from benchmarks.workload import Job, Kind, Napping, saga_of

WARM_UP = 500
"""Greatest number of sagas before those that count."""
ACTIVE = 4
"""Factor on the sagas in flight that gives a worker's room: sagas that only retire hold a place, too."""


class Task(msgspec.Struct, kw_only=True):
    """The task of a worker. `live`: sagas that wait on a timer meanwhile. `burn`: CPU seconds that each step wastes.

    `grouped`: writes share their fsync.
    With a `rate`, a load is so many sagas a second for `seconds`, whatever `inflight`; otherwise it is `sagas`.
    """

    url: str
    kind: Kind = "steps"
    steps: int = 3
    sagas: int
    inflight: int = 500
    shards: int = 1
    live: int = 0
    grouped: bool = False
    burn: float = 0.0
    rate: float = 0.0
    seconds: float = 0.0


class Report(msgspec.Struct, kw_only=True):
    """The report of one load.

    `began` and `ended` on the system's monotonic clock, CPU in seconds, `times` sorted seconds.
    """

    began: float
    ended: float
    cpu: float
    messages: int
    times: list[float]


class Worker:
    """The process, as its parent sees it; a call blocks its thread."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self.pid: int = running.pid

    def write(self, line: str) -> None:
        """Send one line."""
        _pipe(self._running.stdin).write(line + "\n")
        _pipe(self._running.stdin).flush()

    def read(self) -> str:
        """Read one line. Raises RuntimeError when the process has ended."""
        line = _pipe(self._running.stdout).readline()
        if not line:
            raise RuntimeError("a worker process ended: see its error above")
        return line

    def report(self) -> Report:
        """Read the report of a load."""
        return msgspec.json.decode(self.read(), type=Report)


@contextmanager
def worker(task: Task, *, env: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """Run a worker process while the context is open; it is warm once it has printed its first line.

    `env` is the environment of the process; None is this process's own.
    """
    command = [sys.executable, "-m", "benchmarks.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, preexec_fn=die_with_owner
    ) as running:
        try:
            found = Worker(running)
            found.write(msgspec.json.encode(task).decode())
            yield found
        except BaseException:  # the worker does not outlive a run that was interrupted
            running.kill()
            raise


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end


async def work(task: Task) -> None:
    """Run the process's side."""
    saga = saga_of(task.steps, task.kind, burn=task.burn)
    ends = Failed if task.kind == "refused" else Completed
    active = max(task.inflight * ACTIVE, 1000)
    async with open_runtime(
        task.url,
        sagas=[saga, Napping()],
        shards=task.shards,
        max_active=active,
        worker_name="bench",
        passivate_after=0.2,
        group_commit="on" if task.grouped else "off",
    ) as runtime:
        await start_all(runtime, Napping, map(Job, range(task.live)), inflight=500)
        await closed(runtime, saga, min(task.sagas, WARM_UP), inflight=task.inflight, ends=ends)
        await retired(runtime)
        if task.live:
            await (
                runtime.scan()
            )  # A scan reads each saga once after it was written: for the live ones that happens here.
        print("ready", flush=True)
        while await trio.to_thread.run_sync(sys.stdin.readline):
            sent, cpu, began = runtime.messages_sent, time.process_time(), time.monotonic()
            times = await _load(runtime, saga, task, ends)
            ended = time.monotonic()
            await retired(runtime)
            report = Report(
                began=began,
                ended=ended,
                cpu=time.process_time() - cpu,
                messages=runtime.messages_sent - sent,
                times=times,
            )
            print(msgspec.json.encode(report).decode(), flush=True)


async def _load(runtime: Runtime, saga: Saga[Any, Any], task: Task, ends: type) -> list[float]:
    """Run the load, and return the sorted seconds of its sagas."""
    if not task.rate:
        return await closed(runtime, saga, task.sagas, inflight=task.inflight, ends=ends)
    loop = OpenLoop(runtime, saga, task.rate, task.seconds)
    await loop.run()
    return sorted(loop.times)


if __name__ == "__main__":
    trio.run(work, msgspec.json.decode(sys.stdin.readline(), type=Task))
