"""Command intake: sagas that messages on a user's stream start, beside sagas that the worker starts itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import msgspec
import trio
from sagakit import Command, Config, Context, Runtime, Saga, open_runtime, step
from sagakit.jetstream.server_process import Sync
from sagakit.jetstream.store import JetStreamStore
from sagakit.system.open_store import open_store

from benchmarks.limits import Floor, limits
from benchmarks.load import retired
from benchmarks.result import Bench, Case, Figures
from benchmarks.servers import Servers, servers
from benchmarks.workload import Job, Made

WARM_UP = 500
"""Greatest number of sagas before those that count."""
ACTIVE = 500
"""Places of the worker, for sagas of either kind."""
STARTERS = 64
"""Starts of the worker itself that are under way at once: as many as commands are put into the inbox."""
STREAM, SUBJECT = "BENCH_ORDERS", "bench.orders"

BENCH = Bench(
    "intake",
    {
        "sagas_per_s": "sagas that commands have started, a second",
        "direct_sagas_per_s": "sagas that the worker has started by `start` with an id, a second, on the same server",
        "rate_over_direct": "sagas_per_s over direct_sagas_per_s",
        "ratio_to_floor": "messages_per_s over floor_messages_per_s",
        "messages_per_saga": "messages that the worker sent to the server, a saga that a command has started",
        "direct_messages_per_saga": "the same, a saga that the worker has started",
        "more_messages_per_start": "the difference of these two: what the intake of one command sends",
        "cpu_us_per_saga": "CPU of the worker, microseconds a saga that a command has started",
        "direct_cpu_us_per_saga": "the same, a saga that the worker has started",
        "cpu_over_direct": "cpu_us_per_saga over direct_cpu_us_per_saga",
        "cpu_per_saga_over_floor_message": "cpu_us_per_saga over floor_cpu_us_per_message",
        "server_cpu_us_per_saga": "CPU of the server, microseconds a saga that a command has started",
        "messages_per_s": "messages that the worker sent to the server, a second",
        "floor_messages_per_s": "the floor on the same server: before and after, the better one",
        "floor_cpu_us_per_message": "CPU of the floor's process, microseconds a message: the lower one",
    },
    "the senders of commands: all commands wait in the stream when the worker opens. The sagas run three steps of "
    "nothing meanwhile, and end; everything counts from the first step until all are archived.",
)


class _Reading(NamedTuple):
    """Readings of the meters, or their growth: seconds of time and of CPU, and messages to the server."""

    at: float
    cpu: float
    server_cpu: float
    messages: float


class _Meter:
    """Counts the sagas of one worker, and reads the meters when the first one is begun and when all have ended."""

    def __init__(self, running: Servers, sagas: int) -> None:
        self._running = running
        self._left = sagas
        self._first: _Reading | None = None
        self.all_shipped = trio.Event()

    def begun(self) -> None:
        """Note that a saga has begun."""
        if self._first is None:
            self._first = self._read()

    def shipped(self) -> None:
        """Note the last step of a saga."""
        self._left -= 1
        if not self._left:
            self.all_shipped.set()

    def used(self) -> _Reading:
        """Return what was used since the first saga was begun."""
        assert self._first is not None
        return _Reading(*(now - before for now, before in zip(self._read(), self._first, strict=True)))

    def _read(self) -> _Reading:
        running = self._running
        return _Reading(time.monotonic(), time.process_time(), running.cpu(), running.messages())


class Order(Saga[Job]):
    """A saga of three steps that do nothing; the first and the last one are noted."""

    def __init__(self, meter: _Meter) -> None:
        self._meter = meter

    @step(compensate=None)
    async def reserve(self, job: Job, ctx: Context) -> Made:
        self._meter.begun()
        return Made(ctx.key)

    @step(reserve, compensate=None)
    async def charge(self, job: Job, made: Made, ctx: Context) -> Made:
        return Made(ctx.key)

    @step(charge, compensate=None)
    async def ship(self, job: Job, made: Made, ctx: Context) -> Made:
        self._meter.shipped()
        return Made(ctx.key)


COMMAND = Command(SUBJECT, Order, id="number", start="all", stream=STREAM)


def cases(sagas: int, syncs: tuple[Sync, ...]) -> list[Case]:
    """Return one case for each durability; `always` gets a third of the sagas."""
    return [
        Case({"sync": sync}, partial(measure, sagas if sync == "relaxed" else max(1, sagas // 3), sync))
        for sync in syncs
    ]


async def measure(sagas: int, sync: Sync) -> Figures:
    """Run once on a fresh server: the sagas of `start`, then those of commands."""
    warm = min(WARM_UP, sagas)
    jobs = iter(range(2 * (warm + sagas)))
    with servers(sync=sync) as running, limits() as limit:
        floor = partial(limit.floor, running.url, min(max(10 * sagas, 500), 50_000 if sync == "relaxed" else 12_000))
        before = floor()
        await _direct(running, list(islice(jobs, warm)))
        own = await _direct(running, list(islice(jobs, sagas)))
        await _commanded(running, list(islice(jobs, warm)))
        commanded = await _commanded(running, list(islice(jobs, sagas)))
        after = floor()
    return _figures(commanded, own, sagas, (before, after))


async def _direct(running: Servers, numbers: Sequence[int]) -> _Reading:
    """Have a worker start a saga under each number, and return what that used."""
    meter = _Meter(running, len(numbers))
    async with open_runtime(running.url, sagas=[Order(meter)], max_active=ACTIVE) as runtime:
        await _start(runtime, numbers)
        return await _all_retired(runtime, meter)


async def _commanded(running: Servers, numbers: Sequence[int]) -> _Reading:
    """Have a worker take a command with each number, and return what that used."""
    meter = _Meter(running, len(numbers))
    await _publish(running, numbers)
    async with open_runtime(running.url, sagas=[Order(meter)], commands=[COMMAND], max_active=ACTIVE) as runtime:
        return await _all_retired(runtime, meter)


async def _all_retired(runtime: Runtime, meter: _Meter) -> _Reading:
    await meter.all_shipped.wait()
    await retired(runtime)
    return meter.used()


async def _start(runtime: Runtime, numbers: Iterable[int]) -> None:
    """Start a saga under each number, and wait for none of them."""
    left = iter(numbers)

    async def starter() -> None:
        for number in left:
            await runtime.start(Order, str(number), Job(number))

    async with trio.open_nursery() as nursery:
        for _ in range(STARTERS):
            nursery.start_soon(starter)


async def _publish(running: Servers, numbers: Iterable[int]) -> None:
    """Put a command with each number into the stream of the commands, which is made if it is missing."""
    left = iter(numbers)
    async with open_store(running.url, Config()) as store:
        assert isinstance(store, JetStreamStore)
        wire = store.wire
        config = msgspec.json.encode({"name": STREAM, "subjects": [SUBJECT], "storage": "file"})
        await wire.request(f"$JS.API.STREAM.CREATE.{STREAM}", config)

        async def sender() -> None:
            for number in left:
                await wire.request(SUBJECT, msgspec.json.encode(Job(number)))

        async with trio.open_nursery() as nursery:
            for _ in range(STARTERS):
                nursery.start_soon(sender)


def _figures(commanded: _Reading, own: _Reading, sagas: int, floors: tuple[Floor, Floor]) -> Figures:
    floor = max(one.messages_per_s for one in floors)
    floor_cpu = min(one.cpu_us_per_message for one in floors)
    cpu, own_cpu = commanded.cpu / sagas * 1e6, own.cpu / sagas * 1e6
    return {
        "sagas_per_s": sagas / commanded.at,
        "direct_sagas_per_s": sagas / own.at,
        "rate_over_direct": own.at / commanded.at,
        "ratio_to_floor": commanded.messages / commanded.at / floor,
        "messages_per_saga": commanded.messages / sagas,
        "direct_messages_per_saga": own.messages / sagas,
        "more_messages_per_start": (commanded.messages - own.messages) / sagas,
        "cpu_us_per_saga": cpu,
        "direct_cpu_us_per_saga": own_cpu,
        "cpu_over_direct": cpu / own_cpu,
        "cpu_per_saga_over_floor_message": cpu / floor_cpu,
        "server_cpu_us_per_saga": commanded.server_cpu / sagas * 1e6,
        "messages_per_s": commanded.messages / commanded.at,
        "floor_messages_per_s": floor,
        "floor_cpu_us_per_message": floor_cpu,
    }
