"""Remote steps: sagas whose steps a participant in another process does, beside sagas with as many local steps."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import trio
from msgspec.structs import replace
from sagakit.jetstream.server_process import Sync

from benchmarks.beside import worker_beside
from benchmarks.limits import limits
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import Servers, cpu_of, servers
from benchmarks.worker import Report, Task, Worker, worker

STEPS = 3

BENCH = Bench(
    "remote",
    {
        "sagas_per_s": "sagas of three remote steps that came to their end, a second",
        "local_sagas_per_s": "sagas of three steps of the worker itself, a second, on the same server before",
        "rate_over_local": "sagas_per_s over local_sagas_per_s",
        "ratio_to_floor": "messages_per_s over floor_messages_per_s",
        "messages_per_step": "messages that worker and participant sent to the server, a remote step",
        "local_messages_per_step": "messages that the worker sent to the server, a local step",
        "worker_cpu_us_per_step": "CPU of the worker, microseconds a remote step",
        "local_worker_cpu_us_per_step": "CPU of the worker, microseconds a local step",
        "participant_cpu_us_per_step": "CPU of the participant, microseconds a remote step",
        "server_cpu_us_per_step": "CPU of the server, microseconds a remote step",
        "local_server_cpu_us_per_step": "CPU of the server, microseconds a local step",
        "worker_cpu_per_step_over_floor_message": "worker_cpu_us_per_step over floor_cpu_us_per_message",
        "participant_cpu_per_step_over_floor_message": "participant_cpu_us_per_step over floor_cpu_us_per_message",
        "p50_ms": "from start to end of one saga of remote steps at this many in flight, median",
        "p99_ms": "the same, 99th percentile",
        "messages_per_s": "messages that worker and participant sent to the server, a second",
        "floor_messages_per_s": "the floor on the same server: before and after, the better one",
        "floor_cpu_us_per_message": "CPU of the floor's process, microseconds a message: the lower one",
    },
    "a participant's database: its keys are in memory, and its handlers do nothing. Start, end and archive of a saga "
    "count as parts of its steps. Worker, participant and server share one machine.",
)


class _Took(NamedTuple):
    """A load as its worker reports it, with the CPU of the server and the messages that came to it meanwhile."""

    report: Report
    server_cpu: float
    messages: int

    @property
    def steps(self) -> int:
        return STEPS * len(self.report.times)

    @property
    def seconds(self) -> float:
        return self.report.ended - self.report.began


def cases(sagas: int, inflight: int, syncs: tuple[Sync, ...]) -> list[Case]:
    """Return one case for each durability; `always` gets a third of the sagas."""
    return [
        Case({"sync": sync}, partial(measure, sagas if sync == "relaxed" else max(1, sagas // 3), inflight, sync))
        for sync in syncs
    ]


async def measure(sagas: int, inflight: int, sync: Sync) -> Figures:
    """Run once on a fresh server."""
    return await trio.to_thread.run_sync(_measure, sagas, inflight, sync)


def _measure(sagas: int, inflight: int, sync: Sync) -> Figures:
    with servers(sync=sync) as running, limits() as limit, ExitStack() as stack:
        task = Task(url=running.url, steps=STEPS, sagas=sagas, inflight=inflight)
        floor_messages = min(max(30 * sagas, 500), 50_000 if sync == "relaxed" else 12_000)
        own = stack.enter_context(worker(task))
        own.read()  # the store is there
        participant = stack.enter_context(worker_beside("benchmarks.participant", running.url))
        afar = stack.enter_context(worker(replace(task, kind="remote")))
        afar.read()
        before = limit.floor(running.url, floor_messages)
        local = _load(own, running)
        cpu = cpu_of(participant)
        remote = _load(afar, running)
        cpu = cpu_of(participant) - cpu
        after = limit.floor(running.url, floor_messages)
    floor = max(before.messages_per_s, after.messages_per_s)
    floor_cpu = min(before.cpu_us_per_message, after.cpu_us_per_message)
    worker_cpu, participant_cpu = remote.report.cpu / remote.steps * 1e6, cpu / remote.steps * 1e6
    rate, local_rate = (len(one.report.times) / one.seconds for one in (remote, local))
    return {
        "sagas_per_s": rate,
        "local_sagas_per_s": local_rate,
        "rate_over_local": rate / local_rate,
        "ratio_to_floor": remote.messages / remote.seconds / floor,
        "messages_per_step": remote.messages / remote.steps,
        "local_messages_per_step": local.messages / local.steps,
        "worker_cpu_us_per_step": worker_cpu,
        "local_worker_cpu_us_per_step": local.report.cpu / local.steps * 1e6,
        "participant_cpu_us_per_step": participant_cpu,
        "server_cpu_us_per_step": remote.server_cpu / remote.steps * 1e6,
        "local_server_cpu_us_per_step": local.server_cpu / local.steps * 1e6,
        "worker_cpu_per_step_over_floor_message": worker_cpu / floor_cpu,
        "participant_cpu_per_step_over_floor_message": participant_cpu / floor_cpu,
        "p50_ms": quantile(remote.report.times, 0.5) * 1000,
        "p99_ms": quantile(remote.report.times, 0.99) * 1000,
        "messages_per_s": remote.messages / remote.seconds,
        "floor_messages_per_s": floor,
        "floor_cpu_us_per_message": floor_cpu,
    }


def _load(one: Worker, running: Servers) -> _Took:
    cpu, messages = running.cpu(), running.messages()
    one.write("go")
    report = one.report()
    return _Took(report, running.cpu() - cpu, running.messages() - messages)
