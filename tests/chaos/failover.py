"""Measurement of how long sagas stand still: `python -m tests.chaos.failover --runs 5`.

Real workers, a real cluster of 3.

    kill      SIGKILL of a worker: nobody listens at its address, and the others take over (the fast path)
    pause     SIGSTOP of a worker: only its lease tells, after its TTL
    leader    SIGKILL of the server that leads the stream of the records. A raw client finds out when the servers are
              back: it asks the streams of the records and of the leases all the time

Times count from the signal, or from the servers' own recovery, to the first call of the first and of the last saga.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import nats
import nats.errors
import nats.js.errors
import trio
import trio_asyncio
import typer
from nats.aio.client import Client
from nats.js.api import Header
from rich.console import Console
from rich.table import Table

from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.processes import Child
from tests.chaos.walker import read_calls

SAGAS = 50
WITHIN = 60.0

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class Gap(msgspec.Struct, frozen=True):
    """Seconds until the first, and until the last of the sagas moved again."""

    first: float
    last: float


def walker(name: str, cluster: Cluster, folder: Path, ttl: float, sagas: int) -> Child:
    """Run one worker process."""
    argv = [sys.executable, "-m", "tests.chaos.walker", "--url", cluster.url, "--name", name]
    return Child(name, [*argv, "--folder", str(folder), "--lease-ttl", str(ttl), "--sagas", str(sagas)], folder)


async def until_up(folder: Path, *names: str) -> None:
    """Return when these workers have started their sagas."""
    with trio.fail_after(WITHIN):
        while not all((folder / f"{name}.up").exists() for name in names):  # noqa: ASYNC110  # processes set no event
            await trio.sleep(0.05)


async def gap_after(folder: Path, moment: float, saga_ids: set[str], *, by: set[str] | None = None) -> Gap:
    """Return the times until each of these sagas is called again, by one of these workers."""
    with trio.fail_after(WITHIN):
        while True:
            calls = [call for call in read_calls(folder) if call.at > moment and (by is None or call.worker in by)]
            first = {call.saga_id: call.at for call in reversed(calls)}
            if saga_ids <= set(first):
                times = [first[saga_id] - moment for saga_id in saga_ids]
                return Gap(min(times), max(times))
            await trio.sleep(0.05)  # other processes write the calls


async def worker_lost(cluster: Cluster, folder: Path, number: int, ttl: float, with_signal: signal.Signals) -> Gap:
    """Send the signal to a worker while two others are up."""
    run = f"{with_signal.name.lower()}-{number}"
    names = [f"victim-{run}", f"heir-{run}-a", f"heir-{run}-b"]
    folder = folder / run
    folder.mkdir()
    workers = [walker(name, cluster, folder, ttl, SAGAS if name.startswith("victim") else 0) for name in names]
    try:
        for worker in workers:
            worker.start()
        await until_up(folder, *names)
        moment = time.time()
        workers[0].signal(with_signal)
        return await gap_after(folder, moment, {f"{names[0]}-{n}" for n in range(SAGAS)}, by=set(names[1:]))
    finally:
        for worker in workers:
            await worker.stop()


async def leader_lost(cluster: Cluster, folder: Path, number: int, ttl: float) -> tuple[Gap, Gap]:
    """Measure until the streams were back, and from then until the sagas moved.

    Raises RuntimeError if a saga was harmed.
    """
    names = [f"walker{number}a", f"walker{number}b"]
    folder = folder / f"leader-{number}"
    folder.mkdir()
    workers = [walker(name, cluster, folder, ttl, SAGAS) for name in names]
    try:
        for worker in workers:
            worker.start()
        await until_up(folder, *names)
        node = await cluster.some_leader()
        moment = time.time()
        await node.process.kill()
        server = await until_back(cluster, moment)
        back = moment + server.last
        ours = {f"{name}-{n}" for name in names for n in range(SAGAS)}
        gap = await gap_after(folder, back, ours)
        if any(call.epoch != 1 for call in read_calls(folder) if call.saga_id in ours):
            raise RuntimeError("a saga changed hands: the outage was taken for a death")
        node.process.start()
        await cluster.settled()
        return server, gap
    finally:
        for worker in workers:
            await worker.stop()


async def until_back(cluster: Cluster, moment: float) -> Gap:
    """Wait until both streams answer a raw client again, that of the records and that of the leases.

    The servers refuse the client's writes, since it expects an impossible revision. Only a leader refuses them.
    """

    async def ask(client: Client, stream: str) -> float:
        while True:
            try:
                await client.jetstream().publish(
                    f"$KV.{stream}.Probe.probe", b"", timeout=0.25, headers={Header.EXPECTED_LAST_SEQUENCE: "1"}
                )
            except nats.js.errors.BadRequestError:
                return time.time() - moment
            except (nats.errors.Error, nats.js.errors.Error):
                await asyncio.sleep(0.01)  # the outage is what is measured

    async def both() -> list[float]:
        client = await nats.connect(cluster.url.split(","), reconnect_time_wait=0.05, max_reconnect_attempts=-1)
        try:
            return await asyncio.gather(*(ask(client, stream) for stream in ("SAGA_STATE", "SAGA_WORKERS")))
        finally:
            await client.close()

    times = await trio_asyncio.aio_as_trio(both)()
    print(f"leader: records {times[0]:.2f} s, leases {times[1]:.2f} s")
    return Gap(min(times), max(times))


@app.command()
def main(
    runs: Annotated[int, typer.Option(help="Runs of each.")] = 5,
    ttl: Annotated[float, typer.Option(help="The workers' `lease_ttl`, in seconds.")] = 6.0,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Print how long sagas stand still after each fault."""
    with tempfile.TemporaryDirectory(prefix="sagakit-failover-") as folder:
        found = trio.run(_measure, Path(folder), runs, ttl)
    table = Table(title=f"Seconds without progress of {SAGAS} sagas, {runs} runs, lease_ttl {ttl:g} s")
    for column in ("fault", "first saga moves", "last saga moves", "worst"):
        table.add_column(column)
    for fault, gaps in found.items():
        firsts, lasts = [gap.first for gap in gaps], [gap.last for gap in gaps]
        table.add_row(fault, f"{median(firsts):.2f}", f"{median(lasts):.2f}", f"{max(lasts):.2f}")
    Console(width=110).print(table)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


async def _measure(folder: Path, runs: int, ttl: float) -> dict[str, list[Gap]]:
    found: dict[str, list[Gap]] = {}
    async with trio_asyncio.open_loop(), running_cluster(folder / "cluster") as cluster:
        for number in range(runs):
            for fault, with_signal in (("kill", signal.SIGKILL), ("pause", signal.SIGSTOP)):
                gap = await worker_lost(cluster, folder, number, ttl, with_signal)
                found.setdefault(fault, []).append(gap)
                print(f"{fault}: {gap.first:.2f} to {gap.last:.2f} s", flush=True)
            server, gap = await leader_lost(cluster, folder, number, ttl)
            found.setdefault("leader: the servers themselves", []).append(server)
            found.setdefault("leader: after the servers' own recovery", []).append(gap)
            print(f"leader: the servers {server.last:.2f} s, then {gap.first:.2f} to {gap.last:.2f} s", flush=True)
    return found


if __name__ == "__main__":
    app()
