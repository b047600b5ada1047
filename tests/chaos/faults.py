"""Maker of faults: makes those of a schedule, heals each, and writes down when it was made."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from pathlib import Path

import msgspec
import trio

from tests.chaos.caught import held, in_calls, taken_over
from tests.chaos.cluster import Cluster
from tests.chaos.history import Fault as Made
from tests.chaos.load import read_lines
from tests.chaos.processes import Child
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import Fault, Schedule
from tests.clocks.faked import SEEN_WITHIN, WallClock


class _Line(msgspec.Struct):
    worker: str


class Faults:
    """The targets of one run's faults. `workers`, `participants`, `proxies` and `clocks` are keyed by
    the programs' names."""

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        workers: Mapping[str, Child],
        participants: Mapping[str, Child],
        proxies: Mapping[str, Proxy],
        clocks: Mapping[str, WallClock],
        *,
        seconds: float,
    ) -> None:
        self._seconds = seconds
        self._ends = inf
        self._folder = folder
        self._cluster = cluster
        self._workers = workers
        self._programs = {**workers, **participants}
        self._proxies = proxies
        self._clocks = clocks
        self.made: list[Made] = []
        self._perform: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "kill-worker": self._kill,
            "kill-participant": self._kill,
            "kill-all": self._kill_all,
            "term-worker": self._term_worker,
            "pause-worker": self._pause,
            "pause-participant": self._pause,
            "clock": self._set_clock,
            "cut": self._network,
            "half-open": self._network,
            "latency": self._network,
            "kill-node": self._kill_node,
            "kill-leader": self._kill_node,
            "pause-node": self._pause_node,
            "roll": self._roll,
        }

    async def run(self, schedule: Schedule) -> None:
        """Make the faults of all tracks, as far as the time allows: a node takes its time to come back."""
        self._ends = trio.current_time() + self._seconds
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._track, schedule.workers)
            nursery.start_soon(self._track, schedule.servers)
            nursery.start_soon(self._track, schedule.clocks)
            nursery.start_soon(self._track, schedule.participants)

    async def _track(self, faults: list[Fault]) -> None:
        for fault in faults:
            await trio.sleep(fault.wait)
            if trio.current_time() + fault.lasts > self._ends:
                break
            begin = time.time_ns()
            target = self.worker_id(fault.target) if fault.target in self._workers else fault.target
            print(f"{time.strftime('%H:%M:%S')} {fault.kind} {target} {fault.lasts:g} s", flush=True)
            await self._perform[fault.kind](fault)
            self.made.append(Made(fault.kind, target, begin, time.time_ns()))

    def worker_id(self, name: str) -> str:
        """Return the id of the runtime that a worker's process has open, or had last; its name before it has one."""
        lines = list(read_lines(self._folder / f"counters-{name}.jsonl", _Line))
        return lines[-1].worker if lines else name

    async def _kill(self, fault: Fault) -> None:
        program = self._programs[fault.target]
        await self._catch(fault)
        await program.kill()
        await trio.sleep(fault.lasts)
        program.start()

    async def _kill_all(self, fault: Fault) -> None:
        for worker in self._workers.values():
            await worker.kill()
        await trio.sleep(fault.lasts)
        for worker in self._workers.values():
            worker.start()

    async def _term_worker(self, fault: Fault) -> None:
        worker = self._workers[fault.target]
        await worker.stop()
        await trio.sleep(fault.lasts)
        worker.start()

    async def _pause(self, fault: Fault) -> None:
        program = self._programs[fault.target]
        victim = self.worker_id(fault.target)
        try:
            sagas = await self._catch(fault)
            program.signal(signal.SIGSTOP)
            await trio.sleep(fault.lasts)
            if sagas:
                await taken_over(self._folder, victim, sagas)
        finally:
            program.signal(signal.SIGCONT)

    async def _catch(self, fault: Fault) -> set[str]:
        """Stop a worker in the middle of calls of `fault.calls` sagas or more, and return these; do nothing for 0.

        The services answer the calls once the worker has stopped. Raises trio.TooSlowError.
        """
        if not fault.calls:
            return set()
        with held(self._folder, fault.target):
            sagas = await in_calls(self._folder, fault.target, least=fault.calls)
            self._programs[fault.target].signal(signal.SIGSTOP)
        return sagas

    async def _set_clock(self, fault: Fault) -> None:
        """Let the clock jump by minutes and stay there: there is nothing to heal."""
        self._clocks[fault.target].set(fault.extra)
        await trio.sleep(SEEN_WITHIN)

    async def _network(self, fault: Fault) -> None:
        proxy = self._proxies[fault.target]
        match fault.kind:
            case "cut":
                proxy.cut()
            case "half-open":
                proxy.half_open()
            case _:
                proxy.slow(fault.extra)
        try:
            await trio.sleep(fault.lasts)
        finally:
            proxy.heal()

    async def _kill_node(self, fault: Fault) -> None:
        leads = fault.kind == "kill-leader"
        node = await self._cluster.some_leader() if leads else self._cluster.node(fault.target)
        await node.process.kill()
        await trio.sleep(fault.lasts)
        node.process.start()
        await self._cluster.settled()

    async def _pause_node(self, fault: Fault) -> None:
        process = self._cluster.node(fault.target).process
        process.signal(signal.SIGSTOP)
        try:
            await trio.sleep(fault.lasts)
        finally:
            process.signal(signal.SIGCONT)
        await self._cluster.settled()

    async def _roll(self, fault: Fault) -> None:
        await self._cluster.roll()
