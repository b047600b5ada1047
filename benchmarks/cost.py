"""The cost of one saga in messages: those that each stream stores of it, beside a floor of single acknowledgments."""

from __future__ import annotations

import os
from functools import partial

import msgspec
import trio
from sagakit import Config, Runtime, open_runtime
from sagakit.jetstream.store import JetStreamStore
from sagakit.store.names import Names
from sagakit.system.open_store import open_store

from benchmarks.limits import Limits, limits
from benchmarks.load import closed, retired
from benchmarks.modes import Mode, group_commit, sync_of
from benchmarks.result import Bench, Case, Figures
from benchmarks.servers import Servers, servers
from benchmarks.workload import saga_of

INFLIGHT = (1, 100, 500)
STORED = {"state": "KV_{0.state[0]}", "archive": "KV_{0.archive[0]}", "event": "{0.events[0]}"}
"""The streams that every saga writes to, by what their messages are."""

BENCH = Bench(
    "cost",
    {
        "state_messages_per_saga": "records and end markers that the server stored, a saga",
        "archive_messages_per_saga": "archived records that the server stored, a saga",
        "event_messages_per_saga": "events that the server stored, a saga",
        "other_messages_per_saga": "all else that the worker sent meanwhile, such as lease renewals, a saga",
        "answers_per_saga": "messages that the server sent, a saga: an acknowledgment of each write, or of each batch",
        "stored_per_s": "messages of the first three kinds that the server stored and acknowledged, a second",
        "floor_messages_per_s": "the floor on the same server, each message acknowledged singly: the better of two",
        "stored_over_floor": "stored_per_s over floor_messages_per_s",
        "sagas_per_s": "sagas that came to their end, a second, archived and marked too",
        "server_cpu_us_per_saga": "CPU of the server, microseconds a saga",
        "floor_server_cpu_us_per_message": "CPU of the server, microseconds a message of the floor: the lower of two",
        "server_cpu_per_saga_over_floor_message": "the one before the last over the last",
    },
    "steps do nothing; worker, server and floor share one machine. Under `always` nearly all of the time is the "
    "disk's, which no figure of CPU shows.",
)


TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds in which the system counts a process's CPU: less may be counted as none."""


class _Stored(msgspec.Struct):
    """The server's answer about a stream, of which only the number of messages so far counts."""

    state: dict[str, object]


def cases(sagas: int, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return one case for each durability and number in flight."""
    return [
        Case({"sync": sync, "inflight": inflight}, partial(measure, _share(sagas, inflight, sync), inflight, sync))
        for sync in syncs
        for inflight in INFLIGHT
    ]


def _share(sagas: int, inflight: int, sync: Mode) -> int:
    """Return the number of sagas to run: fewer with fsync, and one by one, which take their time."""
    return max(5, sagas // (1 if sync == "relaxed" else 3) // (10 if inflight == 1 else 1))


async def measure(sagas: int, inflight: int, sync: Mode) -> Figures:
    """Run once on a fresh server."""
    saga = saga_of(3)
    with servers(sync=sync_of(sync)) as running, limits() as limit:
        floor = partial(_floor, limit, running, min(max(11 * sagas, 500), 20_000))
        before = await floor()
        async with (
            open_runtime(
                running.url, sagas=[saga], max_active=max(1_000, 4 * inflight), group_commit=group_commit(sync)
            ) as runtime,
            open_store(running.url, Config()) as store,
        ):
            assert isinstance(store, JetStreamStore)
            await closed(runtime, saga, min(sagas, 200), inflight=inflight)  # warm up
            await retired(runtime)
            counts, cpu = await _counts(store, runtime), running.cpu()
            answers = await trio.to_thread.run_sync(running.answers)
            began = trio.current_time()
            await closed(runtime, saga, sagas, inflight=inflight)
            await retired(runtime)
            seconds, cpu = trio.current_time() - began, running.cpu() - cpu
            answers = await trio.to_thread.run_sync(running.answers) - answers
            later = await _counts(store, runtime)
        after = await floor()
    counts = {name: later[name] - counts[name] for name in counts} | {"answers": answers}
    return _figures(counts, sagas, seconds, cpu, (before, after))


async def _floor(limit: Limits, running: Servers, count: int) -> tuple[float, float]:
    """Return messages a second, and the server's microseconds a message."""
    cpu = running.cpu()
    floor = await trio.to_thread.run_sync(limit.floor, running.url, count)
    return floor.messages_per_s, max(running.cpu() - cpu, TICK) / count * 1e6


async def _counts(store: JetStreamStore, runtime: Runtime) -> dict[str, int]:
    """Return the messages of each stream so far, and all that the worker has sent."""
    found = {"sent": runtime.messages_sent}
    for name, stream in STORED.items():
        answer = await store.wire.request(f"$JS.API.STREAM.INFO.{stream.format(Names())}")
        found[name] = int(str(msgspec.json.decode(answer, type=_Stored).state["last_seq"]))
    return found


def _figures(
    counts: dict[str, int], sagas: int, seconds: float, cpu: float, floors: tuple[tuple[float, float], ...]
) -> Figures:
    stored = sum(counts[name] for name in STORED)
    floor, floor_cpu = max(rate for rate, _ in floors), min(cost for _, cost in floors)
    return {
        **{f"{name}_messages_per_saga": counts[name] / sagas for name in STORED},
        "other_messages_per_saga": (counts["sent"] - stored) / sagas,
        "answers_per_saga": counts["answers"] / sagas,
        "stored_per_s": stored / seconds,
        "floor_messages_per_s": floor,
        "stored_over_floor": stored / seconds / floor,
        "sagas_per_s": sagas / seconds,
        "server_cpu_us_per_saga": cpu / sagas * 1e6,
        "floor_server_cpu_us_per_message": floor_cpu,
        "server_cpu_per_saga_over_floor_message": cpu / sagas * 1e6 / floor_cpu,
    }
