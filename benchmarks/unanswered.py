"""Sagas that wait for a participant's reply: what each costs meanwhile, and how soon a reply wakes one among many."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec
import psutil
import trio
from sagakit import Config, Context, Runtime, Saga, open_runtime, remote, step
from sagakit.jetstream.store import JetStreamStore
from sagakit.jetstream.wire import header_block
from sagakit.messages.step_command import StepCommand
from sagakit.participant.replies import CommandReply
from sagakit.store.names import Names
from sagakit.system.open_store import open_store

from benchmarks.limits import limits
from benchmarks.load import start_all
from benchmarks.result import Bench, Case, Figures, quantile
from benchmarks.servers import Servers, servers
from benchmarks.workload import MAKE, Job, Made

SIZES = (10_000, 100_000)
INFLIGHT = 500
WARM_UP = 2_000
REPLIES = 50
"""Replies that are sent one after the other, with few sagas waiting and with all."""
PATIENCE = 120.0
"""Seconds within which a saga must wake after its reply, and all be passivated after their starts."""
NAMES = Names()
STREAMS = {"record": f"KV_{NAMES.state[0]}", "command": NAMES.commands, "event": NAMES.events[0]}
"""The streams that a waiting saga has bytes in."""

BENCH = Bench(
    "unanswered",
    {
        "rss_bytes_per_saga": "growth of the worker's resident memory, a saga that waits for a reply, passivated",
        "server_rss_bytes_per_saga": "growth of the server's resident memory, a saga; its caches are in it",
        "stored_bytes_per_saga": "bytes of the streams, a saga: the three below",
        "record_bytes_per_saga": "its record in the state bucket",
        "command_bytes_per_saga": "its command in the stream of commands",
        "event_bytes_per_saga": "its events so far",
        "waiting": "sagas that wait at once",
        "messages_per_start": "messages that the worker sent to the server for a start and the command",
        "start_seconds": "to start them, 500 in flight, until all are passivated",
        "start_ratio_to_floor": "messages sent for that, a second, over the floor",
        "start_cpu_us_per_saga": "CPU of the worker for that, microseconds a saga",
        "few_wake_p50_ms": "from a reply to the step after it, with the sagas of the warm-up waiting, median",
        "wake_p50_ms": "the same with all of them waiting",
        "wake_p99_ms": "the same, the slowest of fifty",
        "wake_over_few": "wake_p50_ms over few_wake_p50_ms",
        "floor_messages_per_s": "the floor on the same server, before",
    },
    "a participant: its commands wait in their stream, and the replies are made by hand. Memory is the growth between "
    "the sagas passivated before and after, so allocator slack counts.",
)


class Asking(Saga[Job]):
    """A saga that waits for a reply for ten days, and then notes that it woke."""

    def __init__(self) -> None:
        self.woken = trio.Event()

    ask = remote(MAKE, Made, send=lambda job, ctx: job, compensate=None, timeout=timedelta(days=10))

    @step(ask, compensate=None)
    async def wake(self, job: Job, made: Made, ctx: Context) -> None:
        self.woken.set()


class _Stored(msgspec.Struct):
    state: dict[str, Any]


class _Message(msgspec.Struct):
    seq: int
    data: bytes


class _Got(msgspec.Struct):
    message: _Message


class _Weight(NamedTuple):
    """Bytes of memory of worker and server, and of each stream."""

    worker: int
    server: int
    streams: dict[str, int]


class _Field:
    """A worker with sagas that wait for replies, and the connection by which replies are sent."""

    def __init__(self, running: Servers, saga: Asking, runtime: Runtime, store: JetStreamStore) -> None:
        self._running = running
        self._saga = saga
        self._runtime = runtime
        self._store = store
        self._waiting = 0

    async def start(self, sagas: int) -> None:
        """Start so many more sagas, and return when all wait and are passivated."""
        self._waiting += sagas
        await start_all(self._runtime, Asking, map(Job, range(sagas)), inflight=INFLIGHT)
        with trio.fail_after(PATIENCE):
            while self._runtime.passivated < self._waiting:  # noqa: ASYNC110  # polls rarely, to cost nothing
                await trio.sleep(0.05)

    async def weight(self) -> _Weight:
        """Return what everything weighs now."""
        gc.collect()
        streams = {name: (await self._state(stream))["bytes"] for name, stream in STREAMS.items()}
        server = sum(psutil.Process(pid).memory_info().rss for pid in self._running.pids)
        return _Weight(psutil.Process().memory_info().rss, server, streams)

    async def wakes(self) -> list[float]:
        """Reply to some of the sagas, one at a time, and return the sorted seconds until each has woken."""
        state = await self._state(NAMES.commands)
        first, last = state["first_seq"], state["last_seq"]
        count = min(REPLIES, self._waiting // 2)
        return sorted([await self._wake(first + (last - first) * number // count) for number in range(count)])

    async def _wake(self, sequence: int) -> float:
        """Reply to the first command from this sequence on, and remove it, as its acknowledgment would."""
        wire, api = self._store.wire, f"$JS.API.STREAM.MSG.{{}}.{NAMES.commands}"
        ask = msgspec.json.encode({"seq": sequence, "next_by_subj": NAMES.command_subject(MAKE)})
        found = msgspec.json.decode(await wire.request(api.format("GET"), ask), type=_Got).message
        await wire.request(api.format("DELETE"), msgspec.json.encode({"seq": found.seq}))
        command = msgspec.json.decode(found.data, type=StepCommand)
        made = msgspec.Raw(msgspec.json.encode(Made(command.key)))
        reply = CommandReply(key=command.key, run=command.run, attempt=command.attempt, answer="done", payload=made)
        headers = header_block({"Nats-Msg-Id": f"{command.key}/{command.attempt}/done"})
        self._saga.woken = trio.Event()
        began = time.perf_counter()
        await wire.request(command.reply_to, msgspec.json.encode(reply), headers=headers)
        with trio.fail_after(PATIENCE):
            await self._saga.woken.wait()
        self._waiting -= 1
        return time.perf_counter() - began

    async def _state(self, stream: str) -> dict[str, Any]:
        answer = await self._store.wire.request(f"$JS.API.STREAM.INFO.{stream}")
        return msgspec.json.decode(answer, type=_Stored).state


def cases(sizes: Iterable[int]) -> list[Case]:
    """Return a case for each number of sagas."""
    return [Case({"waiting": sagas}, partial(measure, sagas)) for sagas in sizes]


async def measure(sagas: int) -> Figures:
    """Start so many sagas, let them be passivated, weigh everything, and reply to some of them."""
    warm, saga = min(WARM_UP, sagas), Asking()
    with servers(sync="relaxed") as running, limits() as limit:
        floor = limit.floor(running.url, min(max(10 * sagas, 500), 20_000)).messages_per_s
        async with (
            open_runtime(running.url, sagas=[saga], passivate_after=0.2, max_active=2 * INFLIGHT) as runtime,
            open_store(running.url, Config()) as store,
        ):
            assert isinstance(store, JetStreamStore)
            field = _Field(running, saga, runtime, store)
            await field.start(warm)  # so that the cost of the first ones is not counted
            few = await field.wakes()
            before = await field.weight()
            began, cpu, sent = time.monotonic(), time.process_time(), runtime.messages_sent
            await field.start(sagas)
            seconds, cpu, sent = time.monotonic() - began, time.process_time() - cpu, runtime.messages_sent - sent
            after = await field.weight()
            many = await field.wakes()
    streams = {name: (after.streams[name] - before.streams[name]) / sagas for name in STREAMS}
    return {
        "rss_bytes_per_saga": (after.worker - before.worker) / sagas,
        "server_rss_bytes_per_saga": (after.server - before.server) / sagas,
        "stored_bytes_per_saga": sum(streams.values()),
        **{f"{name}_bytes_per_saga": size for name, size in streams.items()},
        "waiting": float(sagas),
        "messages_per_start": sent / sagas,
        "start_seconds": seconds,
        "start_ratio_to_floor": sent / seconds / floor,
        "start_cpu_us_per_saga": cpu / sagas * 1e6,
        "few_wake_p50_ms": quantile(few, 0.5) * 1000,
        "wake_p50_ms": quantile(many, 0.5) * 1000,
        "wake_p99_ms": quantile(many, 0.99) * 1000,
        "wake_over_few": quantile(many, 0.5) / quantile(few, 0.5),
        "floor_messages_per_s": floor,
    }
