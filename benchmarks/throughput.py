"""Throughput: sagas a second that worker processes bring to their end, all durable.

Several other benchmarks are cases of it, see `variants`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Literal

import msgspec
import trio
from msgspec.structs import replace

from benchmarks.limits import Floor, limits
from benchmarks.modes import Mode, in_flight, sync_of
from benchmarks.result import Bench, Case, Figures, Labels, Row, paired, quantile
from benchmarks.servers import Servers, servers
from benchmarks.worker import Report, Task, worker
from benchmarks.workload import Kind

FIGURES = {
    "sagas_per_s": "sagas that came to their end, a second",
    "ratio_to_floor": "messages_per_s over floor_messages_per_s",
    "cpu_us_per_saga": "CPU of all worker processes, microseconds a saga",
    "cpu_per_saga_over_floor_message": "cpu_us_per_saga over the CPU that the floor's process needs for one message",
    "server_cpu_us_per_saga": "CPU of all servers, microseconds a saga",
    "messages_per_saga": "messages sent to the server, a saga",
    "messages_per_s": "messages sent to the server, a second",
    "p50_ms": "from start to end of one saga at this many in flight, median",
    "p99_ms": "the same, 99th percentile",
    "floor_messages_per_s": "the floor on the same server: before and after, the better one",
    "floor_cpu_us_per_message": "CPU of the floor's process, microseconds a message: the lower one",
}

NOT_SHOWN = (
    "steps do nothing, so this is the cost of sagakit and of the server alone; servers and workers share one machine, "
    "on loopback. CPU of the server's threads and of the workers is counted, time lost by waiting for a core is not."
)


def _against_single_fsyncs(rows: Sequence[Row]) -> Figures:
    """Return the figures with a shared fsync over those with one for each write."""
    by_mode = {str(row.labels["sync"]): row for row in rows}
    grouped, always = by_mode.get("grouped"), by_mode.get("always")
    if grouped is None or always is None:
        return {}
    names = ("sagas_per_s", "cpu_us_per_saga", "server_cpu_us_per_saga", "p99_ms")
    return {f"{name}_grouped_over_always": paired(grouped, always, name) for name in names}


BENCH = Bench("throughput", FIGURES, NOT_SHOWN, _against_single_fsyncs)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one measurement.

    `sagas` over all workers, under `relaxed`; the others get a third. An `inflight` of 0: as many as the mode needs.
    `groups`: writes share atomic batches although no mode says so, which shares no fsync under `relaxed`.
    """

    kind: Kind = "steps"
    steps: int = 3
    sagas: int = 10_000
    inflight: int = 500
    shards: int = 1
    workers: int = 1
    sync: Mode = "relaxed"
    nodes: Literal[1, 3] = 1
    live: int = 0
    groups: bool = False

    def scaled(self) -> Load:
        """Return the sagas to run: fewer with fsync, which takes its time, but more of them in flight."""
        sagas = self.sagas if self.sync == "relaxed" else max(self.workers, self.sagas // 3)
        return replace(self, sagas=sagas, inflight=self.inflight or in_flight(self.sync))

    @property
    def floor_messages(self) -> int:
        """Number of the floor's messages: as many as the sagas send, within bounds of time."""
        return min(max(10 * self.sagas, 500), 50_000 if self.sync == "relaxed" else 12_000)


def cases(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return one case for each durability."""
    return [case(replace(load, sync=sync), {"sync": sync}) for sync in syncs]


def case(load: Load, labels: Labels) -> Case:
    """Return one case for this load."""
    return Case(labels, partial(measure, load.scaled()))


async def measure(load: Load) -> Figures:
    """Run once on fresh servers."""
    return await trio.to_thread.run_sync(_measure, load)


def _measure(load: Load) -> Figures:
    with servers(sync=sync_of(load.sync), nodes=load.nodes) as running, limits() as limit:
        before = limit.floor(running.url, load.floor_messages, running.replicas)
        reports, server_cpu = _loads(load, running)
        after = limit.floor(running.url, load.floor_messages, running.replicas)
    return figures_of(reports, server_cpu, (before, after))


def _loads(load: Load, running: Servers) -> tuple[list[Report], float]:
    task = Task(
        url=running.url,
        kind=load.kind,
        steps=load.steps,
        sagas=load.sagas,
        inflight=load.inflight,
        shards=load.shards,
        live=load.live,
        grouped=load.groups or load.sync == "grouped",
    )
    return shared(task, load.workers, running)


def shared(task: Task, workers: int, running: Servers) -> tuple[list[Report], float]:
    """Run a task whose sagas, in all and in flight, so many worker processes share.

    Return their reports and the servers' CPU, in seconds, from when the last one is warm.
    """
    part = replace(task, sagas=task.sagas // workers, inflight=max(1, task.inflight // workers))
    with ExitStack() as stack:
        crew = [stack.enter_context(worker(part)) for _ in range(workers)]
        for one in crew:
            one.read()
        cpu = running.cpu()
        for one in crew:
            one.write("go")
        reports = [one.report() for one in crew]
        return reports, running.cpu() - cpu


def figures_of(reports: list[Report], server_cpu: float, floors: tuple[Floor, Floor]) -> Figures:
    """Return the figures of one run, as `FIGURES` describes them."""
    floor = max(one.messages_per_s for one in floors)
    floor_cpu = min(one.cpu_us_per_message for one in floors)
    times = times_of(reports)
    sagas, seconds = len(times), seconds_of(reports)
    messages = sum(one.messages for one in reports)
    cpu = sum(one.cpu for one in reports) / sagas * 1e6
    return {
        "sagas_per_s": sagas / seconds,
        "ratio_to_floor": messages / seconds / floor,
        "cpu_us_per_saga": cpu,
        "cpu_per_saga_over_floor_message": cpu / floor_cpu,
        "server_cpu_us_per_saga": server_cpu / sagas * 1e6,
        "messages_per_saga": messages / sagas,
        "messages_per_s": messages / seconds,
        "p50_ms": quantile(times, 0.5) * 1000,
        "p99_ms": quantile(times, 0.99) * 1000,
        "floor_messages_per_s": floor,
        "floor_cpu_us_per_message": floor_cpu,
    }


def seconds_of(reports: Sequence[Report]) -> float:
    """Return the seconds from the first worker's start to the last one's end."""
    return max(one.ended for one in reports) - min(one.began for one in reports)


def times_of(reports: Sequence[Report]) -> list[float]:
    """Return the seconds of each saga of all workers, sorted."""
    return sorted(time for one in reports for time in one.times)
