"""A run: cluster, services, workers behind proxies, a client, faults; then quiet, and the checker's verdict.

The workers' wall clocks are minutes off, each by a different amount. All other processes have the machine's.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import msgspec
import trio

from tests.chaos.checker import Verdict
from tests.chaos.cluster import LOOK, STATE, Cluster, running_cluster
from tests.chaos.faults import Faults
from tests.chaos.load import CLIENT, GO, plan_load
from tests.chaos.participant import make_database
from tests.chaos.processes import Child
from tests.chaos.proxy import Proxy, running_proxy
from tests.chaos.schedule import PARTICIPANT_NAMES, Only, Schedule, make_schedule
from tests.clocks.faked import WallClock

WARM_UP = 3.0
"""Seconds of load before the first fault."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a run. Times in seconds.

    `settle`: time that sagas get to end once everything is healed. `config`: further options of the runtimes.
    `schedule`: replaces the seed's, and is made to its end.
    """

    seed: int
    seconds: float = 300.0
    sagas: int = 3000
    workers: int = 3
    participants: int = 2
    lease_ttl: float = 6.0
    settle: float = 180.0
    only: Only = "all"
    plant: str | None = None
    config: dict[str, float] = {}
    schedule: Schedule | None = None

    @property
    def names(self) -> list[str]:
        """Names of the workers."""
        return [f"w{number}" for number in range(1, self.workers + 1)]


class Result(msgspec.Struct):
    """A run's verdict, and facts that the checker cannot know."""

    seed: int
    took: float
    verdict: Verdict
    leader_changes: int
    fenced: int
    exit_codes: list[int | None]
    came_back: int
    folder: str
    """Number of times that a worker had ended by itself and was started again."""


class _Ends(NamedTuple):
    """The workers' final exit codes, and the number of times that one had ended by itself."""

    exit_codes: list[int | None]
    came_back: int


class _Leaders:
    """A watcher of the state stream's leader."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.changes: int = 0

    async def watch(self) -> None:
        """Watch until canceled."""
        last: str | None = None
        while True:
            found = await self._cluster.leader(STATE)
            if found is not None and found != last:
                self.changes += last is not None
                last = found
            await trio.sleep(5 * LOOK)  # the servers do not tell of an election


async def run(folder: Path, options: Options) -> Result:
    """Make the whole run, and leave nothing running. Raises trio.TooSlowError, subprocess.CalledProcessError."""
    began = monotonic()
    plan_load(folder, seed=options.seed, sagas=options.sagas, workers=options.names)
    async with running_cluster(folder / "nats") as cluster:
        leaders = _Leaders(cluster)
        ends = await _under_faults(folder, options, cluster, leaders)
    verdict = await _judge(folder)
    return Result(
        seed=options.seed,
        took=round(monotonic() - began, 1),
        verdict=verdict,
        leader_changes=leaders.changes,
        fenced=_fenced(folder),
        exit_codes=ends.exit_codes,
        came_back=ends.came_back,
        folder=str(folder),
    )


async def _under_faults(folder: Path, options: Options, cluster: Cluster, leaders: _Leaders) -> _Ends:
    async with trio.open_nursery() as nursery:
        async with AsyncExitStack() as stack:
            await _prepare(folder, options, cluster, stack)
            nursery.start_soon(leaders.watch)
            schedule = options.schedule or _schedule(options, cluster)
            clocks = {
                name: WallClock(folder / f"{name}.clock", schedule.ahead.get(name, 0.0)) for name in options.names
            }
            workers, proxies = await _start_workers(folder, options, cluster, clocks, stack)
            participants = await _start_participants(folder, options, cluster, stack)
            for program in (*workers.values(), *participants.values()):
                nursery.start_soon(program.keep)
            argv = ["client", cluster.url, str(folder), str(_rate(options) / 2)]
            client = await stack.enter_async_context(_process("client", argv, folder))
            seconds = inf if options.schedule else options.seconds
            faults = Faults(folder, cluster, workers, participants, proxies, clocks, seconds=seconds)
            for name, starter in {**workers, CLIENT: client}.items():
                await _until_there(folder / f"acked-{name}.jsonl", starter)
            (folder / GO).touch()
            await trio.sleep(WARM_UP)
            await faults.run(schedule)
            await _let_it_settle(folder, options, cluster, client, faults)
        nursery.cancel_scope.cancel()
    return _Ends([worker.exit_code for worker in workers.values()], sum(one.came_back for one in workers.values()))


async def _prepare(folder: Path, options: Options, cluster: Cluster, stack: AsyncExitStack) -> None:
    """Start the services, make buckets, streams and the participants' database, start the recorder."""
    make_database(folder)
    services = await stack.enter_async_context(_process("services", ["services", str(folder)], folder))
    await _until_there(folder / "services.port", services)
    await _python("worker", *_worker(folder, options, "layout", cluster.url), "--layout")
    await _python("recorder", "prepare", cluster.url)
    argv = ["recorder", "record", cluster.url, str(folder)]
    recorder = await stack.enter_async_context(_process("recorder", argv, folder))
    await _until_there(folder / "recorder.ready", recorder)


async def _start_workers(
    folder: Path, options: Options, cluster: Cluster, clocks: Mapping[str, WallClock], stack: AsyncExitStack
) -> tuple[dict[str, Child], dict[str, Proxy]]:
    workers: dict[str, Child] = {}
    proxies: dict[str, Proxy] = {}
    for name in options.names:
        proxies[name] = await stack.enter_async_context(running_proxy([node.port for node in cluster.nodes]))
        argv = ["worker", *_worker(folder, options, name, proxies[name].url)]
        workers[name] = await stack.enter_async_context(_process(name, argv, folder, clocks[name].environment))
    return workers, proxies


async def _start_participants(
    folder: Path, options: Options, cluster: Cluster, stack: AsyncExitStack
) -> dict[str, Child]:
    """Start all of them over one database. They have the machine's clock."""
    more = ["--no-keys"] if options.plant == "no-keys" else []
    found: dict[str, Child] = {}
    for name in PARTICIPANT_NAMES[: options.participants]:
        argv = ["participant", "--url", cluster.url, "--folder", str(folder), "--name", name, *more]
        found[name] = await stack.enter_async_context(_process(name, argv, folder))
    for name, participant in found.items():
        await _until_there(folder / f"{name}.ready", participant)
    return found


async def _let_it_settle(folder: Path, options: Options, cluster: Cluster, client: Child, faults: Faults) -> None:
    """Let the load come to its end after the healing, and collect the evidence."""
    (folder / "faults.json").write_bytes(msgspec.json.encode(faults.made))
    with trio.move_on_after(options.settle):
        await client.ended()
    servers_only = ["servers-only"] if options.only == "servers" else []
    await _python("collect", cluster.url, str(folder), str(options.settle), *servers_only)


def _rate(options: Options) -> float:
    """Return the sagas a second with which the load lasts slightly less long than the faults."""
    return max(1.0, options.sagas / max(1.0, 0.9 * options.seconds))


def _schedule(options: Options, cluster: Cluster) -> Schedule:
    return make_schedule(
        options.seed,
        seconds=options.seconds,
        workers=options.names,
        nodes=[node.name for node in cluster.nodes],
        lease_ttl=options.lease_ttl,
        only=options.only,
    )


def _worker(folder: Path, options: Options, name: str, url: str) -> list[str]:
    port = (folder / "services.port").read_text()
    more = ["--plant", options.plant] if options.plant else []
    more += [f"--set={name}={value}" for name, value in options.config.items()]
    rate = str(0.6 * _rate(options) / options.workers)
    return [
        "--url", url, "--name", name, "--folder", str(folder), "--services", port, "--rate", rate,
        "--lease-ttl", str(options.lease_ttl), *more,
    ]  # fmt: skip


@asynccontextmanager
async def _process(
    name: str, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    child = Child(name, [sys.executable, "-m", f"tests.chaos.{argv[0]}", *argv[1:]], folder, environment)
    child.start()
    try:
        yield child
    finally:
        await child.stop()


async def _python(module: str, *argv: str) -> None:
    await trio.run_process([sys.executable, "-m", f"tests.chaos.{module}", *argv])


async def _until_there(path: Path, child: Child) -> None:
    there = trio.Path(path)
    with trio.fail_after(60):
        while not await there.exists():
            if not child.alive:
                raise RuntimeError(f"{child.name} has ended: {child.log.read_text()}")
            await trio.sleep(LOOK)  # the other process makes the file when it is ready


async def _judge(folder: Path) -> Verdict:
    done = await trio.run_process(
        [sys.executable, "-m", "tests.chaos.checker", str(folder)], capture_stdout=True, check=False
    )
    (folder / "verdict.json").write_bytes(done.stdout)
    verdict = msgspec.json.decode(done.stdout, type=Verdict)
    assert (done.returncode != 0) == verdict.condemned
    return verdict


def _fenced(folder: Path) -> int:
    """Return the number of refused writes in the workers' logs, which outlive a kill."""
    return sum(
        path.read_text(errors="replace").count(": fenced") + path.read_text(errors="replace").count(" fenced: ")
        for path in folder.glob("w*.log")
    )
