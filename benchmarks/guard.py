"""The regression guard: ratios of CPU time, pair by pair, against the committed ones. `python -m benchmarks guard`.

It never compares seconds. Numerator and denominator take turns in short pieces, on one server, so that a slow moment of
the machine slows both. The median over the pairs counts. Higher is worse for each ratio. A loss is measured a second
time, and counts if it shows again: a busy machine spoils one measurement, a slower program spoils both.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
import trio
from msgspec.structs import replace
from sagakit import open_runtime

from benchmarks.limits import limits
from benchmarks.load import closed, retired
from benchmarks.servers import servers
from benchmarks.worker import Task, Worker, worker
from benchmarks.workload import saga_of

BASELINE = Path(__file__).with_name("baseline.json")
LOSS = 0.15
"""Share by which a ratio may exceed its baseline."""
PAIRS = 11
SAGAS = 500
INFLIGHT = 200
STEPS = 3
UNITS = 12
"""Messages of the floor, and round trips, for each saga: the denominator is measured as often as a saga sends."""

RATIOS = {
    "saga": "CPU of a saga of three steps over CPU of one message of the floor, both over a real server",
    "refused": "the same, of a saga whose third step refuses",
    "saga_in_memory": "CPU of a saga of three steps on the store in memory over CPU of a round trip on trio channels",
    "messages": "messages a saga of three steps; no time in it",
}


class Baseline(msgspec.Struct, kw_only=True):
    """The content of `baseline.json`. `taken_on` tells people where and when."""

    ratios: dict[str, float]
    taken_on: str


class Verdict(msgspec.Struct, frozen=True):
    """A ratio, and its baseline."""

    name: str
    found: float
    baseline: float

    @property
    def change(self) -> float:
        """Share by which the ratio exceeds the baseline; below zero it is better."""
        return self.found / self.baseline - 1

    @property
    def lost(self) -> bool:
        """True if the ratio exceeds the baseline by too much."""
        return self.change > LOSS


def judge(found: dict[str, float], baseline: Baseline) -> list[Verdict]:
    """Compare each ratio of the baseline with the measured one. Raises KeyError for one that was not measured."""
    return [Verdict(name, found[name], value) for name, value in baseline.ratios.items()]


def read_baseline() -> Baseline:
    """Return the committed baseline. Raises FileNotFoundError, msgspec.DecodeError."""
    return msgspec.json.decode(BASELINE.read_bytes(), type=Baseline)


def write_baseline(found: dict[str, float], taken_on: str) -> None:
    """Write the measured ratios as the baseline."""
    rounded = {name: round(value, 4) for name, value in found.items()}
    encoded = msgspec.json.encode(Baseline(ratios=rounded, taken_on=taken_on))
    BASELINE.write_bytes(msgspec.json.format(encoded) + b"\n")


def measure(*, pairs: int = PAIRS, sagas: int = SAGAS, plant: float = 0.0) -> dict[str, float]:
    """Measure all ratios. `plant`: make sagas cost this share more, by steps that waste CPU, to see the guard fail."""
    return _over_a_server(pairs, sagas, plant) | trio.run(_in_memory, pairs, sagas, plant)


def _over_a_server(pairs: int, sagas: int, plant: float) -> dict[str, float]:
    with servers(sync="relaxed") as running, limits() as limit, ExitStack() as stack:
        task = Task(url=running.url, sagas=sagas, inflight=INFLIGHT)
        if plant:
            with worker(task) as as_it_is:
                as_it_is.read()
                usual = median(_load(as_it_is, sagas)[0] for _ in range(3)) / 1e6
            task = replace(task, burn=usual * plant / STEPS)
        straight = stack.enter_context(worker(task))
        refused = stack.enter_context(worker(replace(task, kind="refused", burn=task.burn * STEPS / (STEPS - 1))))
        for one in (straight, refused):
            one.read()
        ratios: dict[str, list[float]] = {"saga": [], "refused": [], "messages": []}
        for _ in range(pairs):
            before = limit.floor(running.url, UNITS * sagas).cpu_us_per_message
            cpu, messages = _load(straight, sagas)
            refused_cpu, _ = _load(refused, sagas)
            floor = (before + limit.floor(running.url, UNITS * sagas).cpu_us_per_message) / 2
            ratios["saga"].append(cpu / floor)
            ratios["refused"].append(refused_cpu / floor)
            ratios["messages"].append(messages)
    return {name: median(some) for name, some in ratios.items()}


def _load(one: Worker, sagas: int) -> tuple[float, float]:
    """Return CPU microseconds and messages a saga."""
    one.write("go")
    report = one.report()
    return report.cpu / sagas * 1e6, report.messages / sagas


async def _in_memory(pairs: int, sagas: int, plant: float) -> dict[str, float]:
    burn = await _memory_cpu(sagas, 0.0, rounds=3) * plant / STEPS if plant else 0.0
    return {"saga_in_memory": await _memory_cpu(sagas, burn, rounds=pairs, over_round_trips=True)}


async def _memory_cpu(sagas: int, burn: float, *, rounds: int, over_round_trips: bool = False) -> float:
    """Return CPU seconds a saga on the store in memory, or their ratio to those of a round trip.

    The median of the rounds.
    """
    saga = saga_of(STEPS, burn=burn)
    found: list[float] = []
    async with open_runtime("memory:", sagas=[saga], max_active=4 * INFLIGHT) as runtime:
        await closed(runtime, saga, sagas, inflight=INFLIGHT)  # warm up
        for _ in range(rounds):
            before = await _round_trips(UNITS * sagas)
            began = time.process_time()
            await closed(runtime, saga, sagas, inflight=INFLIGHT)
            await retired(runtime)
            cpu = (time.process_time() - began) / sagas
            unit = (before + await _round_trips(UNITS * sagas)) / 2 if over_round_trips else 1.0
            found.append(cpu / unit)
    return median(found)


async def _round_trips(count: int) -> float:
    """Return CPU seconds of one round trip on bare channels."""
    ask, asked = trio.open_memory_channel[int](1)
    answer, answered = trio.open_memory_channel[int](1)

    async def respond() -> None:
        async for number in asked:
            await answer.send(number)

    began = time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(respond)
        for number in range(count):
            await ask.send(number)
            await answered.receive()
        ask.close()
    return (time.process_time() - began) / count
