"""The denominators of the figures: the floor, with the CPU that it costs, and sequential acknowledged writes.

Both run on plain asyncio in a separate process, `python -m benchmarks.limits`, since importing trio_asyncio changes
asyncio. Requests are JSON lines on the standard input, answers JSON lines on the standard output.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import msgspec
import nats
from nats.js.api import StorageType, StreamConfig

from benchmarks import floor as floor_bench
from benchmarks.servers import die_with_owner

RECORD = b"x" * 700
"""Bytes of a record of a saga with three steps, approximately."""
WRITES = 4
"""Sequential writes that a saga of three steps needs: its start, and the end of each step."""


class Ask(msgspec.Struct):
    """A request: so many messages pipelined, or so many times four writes one after the other."""

    what: Literal["floor", "writes"]
    url: str
    count: int
    replicas: int = 1


class Floor(msgspec.Struct, frozen=True):
    """The floor. CPU is that of the measuring process, in microseconds a message."""

    messages_per_s: float
    cpu_us_per_message: float


class Limits:
    """A running process that measures on request; a call blocks its thread."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running

    def floor(self, url: str, count: int, replicas: int = 1) -> Floor:
        """Return the floor on the server at `url`."""
        return msgspec.json.decode(self._ask(Ask("floor", url, count, replicas)), type=Floor)

    def writes(self, url: str, count: int, replicas: int = 1) -> list[float]:
        """Return the seconds of each of `count` times four sequential acknowledged writes."""
        return msgspec.json.decode(self._ask(Ask("writes", url, count, replicas)), type=list[float])

    def _ask(self, ask: Ask) -> str:
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        self._running.stdin.write(msgspec.json.encode(ask).decode() + "\n")
        self._running.stdin.flush()
        answer = self._running.stdout.readline()
        if not answer:
            raise RuntimeError("the measuring process ended: see its error above")
        return answer


@contextmanager
def limits() -> Iterator[Limits]:
    """Run the measuring process while the context is open."""
    command = [sys.executable, "-m", "benchmarks.limits"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_owner
    ) as running:
        yield Limits(running)  # closing its standard input ends it


def _floor(ask: Ask) -> Floor:
    """Run the loop of `benchmarks.floor` as it is; where a cluster keeps copies, the floor's stream does, too."""
    floor_bench.__dict__["StreamConfig"] = partial(StreamConfig, num_replicas=ask.replicas)  # the loop stays unchanged
    before = time.process_time()
    rate = asyncio.run(floor_bench.measure(ask.url.split(",")[0], ask.count))
    return Floor(rate, (time.process_time() - before) / ask.count * 1e6)


async def _writes(ask: Ask) -> list[float]:
    """Write as `kv.update` does, without its checks: publish with the expected revision, and await the answer."""
    nc = await nats.connect(ask.url.split(","))
    js = nc.jetstream()
    config = StreamConfig(
        name="WRITES",
        subjects=["writes.*"],
        storage=StorageType.FILE,
        num_replicas=ask.replicas,
        max_msgs_per_subject=1,
    )
    await js.add_stream(config)
    found: list[float] = []
    for number in range(ask.count):
        began = time.perf_counter()
        revision = 0
        for _ in range(WRITES):
            headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
            revision = (await js.publish(f"writes.{number}", RECORD, headers=headers)).seq
        found.append(time.perf_counter() - began)
    await js.delete_stream("WRITES")
    await nc.close()
    return found


def main() -> None:
    """Answer requests until the standard input is closed."""
    for line in sys.stdin:
        ask = msgspec.json.decode(line, type=Ask)
        answer: object = _floor(ask) if ask.what == "floor" else asyncio.run(_writes(ask))
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
