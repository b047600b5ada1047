"""sagakit compared with its peers: the same work in the same run, the peers taking turns with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from tempfile import TemporaryDirectory
from typing import NamedTuple

import trio
from msgspec.structs import replace

from benchmarks.modes import Mode, sync_of
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.harness import FIGURES, Task, in_a_process
from benchmarks.result import Bench, Case, Figures, Labels, Row, paired, quantile
from benchmarks.servers import servers
from benchmarks.throughput import seconds_of, shared, times_of
from benchmarks.worker import Task as Load

SINGLES = 100


class Own(NamedTuple):
    """A row of our own. `sagas` a run at full scale: as many as take a few seconds."""

    mode: Mode
    sagas: int
    shards: int = 1
    workers: int = 1
    inflight: int = 500

    @property
    def labels(self) -> Labels:
        """Return what the row says."""
        parts = [f"sagakit, {self.mode}"]
        parts += [f"{self.shards} shards"] * (self.shards > 1)
        parts += [f"{self.workers} worker processes"] * (self.workers > 1)
        return {"peer": ", ".join(parts), "in flight": self.inflight}


OWN = (
    Own("relaxed", 6_000),
    Own("always", 2_000),
    Own("always", 2_000, shards=8),
    Own("grouped", 6_000, inflight=1_000),
    Own("grouped", 6_000, inflight=1_000, workers=2),
)
"""The rows of our own. With a shared fsync they have as many sagas in flight as Restate. Two worker processes fill both
cores of a small machine, as Restate's server and its service do."""


def _ratios(rows: Sequence[Row]) -> Figures:
    """Return our figures over each peer's. All peers fsync, so only our rows that do are compared."""
    found: Figures = {}
    ours = [row for row in rows if "relaxed" not in str(row.labels["peer"]) and "sagakit" in str(row.labels["peer"])]
    for peer in (row for row in rows if "sagakit" not in str(row.labels["peer"])):
        for own in ours:
            for figure in ("sagas_per_s", "refused_per_s"):
                name = f"{figure}: {own.labels['peer']} over {peer.labels['peer']}"
                found[name] = paired(own, peer, figure)
            found[f"single_p50_ms: {peer.labels['peer']} over {own.labels['peer']}"] = paired(
                peer, own, "single_p50_ms"
            )
    return found


BENCH = Bench(
    "peers",
    FIGURES,
    "one machine with few cores shared by all parts of each, loopback, no-op steps, one process of user code each "
    "unless the row says otherwise, "
    "nothing that fails but a refusal. Restate and PostgreSQL are servers that can grow to many workers and cores; "
    "Restate's client process takes CPU that is not in its figures, sagakit's and the others' callers are inside the "
    "worker; nothing is replicated. Each keeps different things: "
    "Restate a journal for a day, DBOS and Edda rows in tables that can be queried and joined, sagakit events on a "
    "stream and an archive. What a peer does best (replayed code, SQL in the same database, a UI) is not measured. "
    "sagakit under `relaxed` promises less than the peers' rows; only its other rows are compared with them",
    _ratios,
)


def available() -> list[Peer]:
    """Return the peers that can run here."""
    return [peer for peer in PEERS if not peer.missing()]


def absent() -> list[str]:
    """Return why the others cannot run, and what helps."""
    return [peer.missing() for peer in PEERS if peer.missing()]


def settings() -> dict[str, str]:
    """Return versions and durability of the peers that run."""
    return {peer.name: f"{peer.versions()}: {peer.settings}" for peer in available()}


def cases(scale: float, syncs: tuple[Mode, ...], *, peers: Sequence[Peer] | None = None) -> list[Case]:
    """Return our own cases, then those of the peers."""
    own = [Case(one.labels, partial(_measure_own, scale, one)) for one in OWN if one.mode in syncs]
    return own + [
        Case({"peer": peer.name, "in flight": peer.inflight}, partial(_measure_peer, scale, peer.module, peer.store))
        for peer in (available() if peers is None else peers)
    ]


async def _measure_peer(scale: float, module: str, store: str) -> Figures:
    peer = next(one for one in PEERS if (one.module, one.store) == (module, store))

    def run() -> Figures:
        with TemporaryDirectory(prefix="sagakit-peer-") as folder:
            task = Task(
                store=store,
                folder=folder,
                sagas=max(5, int(peer.sagas * scale)),
                inflight=peer.inflight,
                singles=max(5, int(SINGLES * scale)),
            )
            return in_a_process(module, task)

    return await trio.to_thread.run_sync(run)


async def _measure_own(scale: float, own: Own) -> Figures:
    return await trio.to_thread.run_sync(_own, scale, own)


def _own(scale: float, own: Own) -> Figures:
    """Run three loads on one server, one after the other, each in separate worker processes."""
    sagas = max(20, int(own.sagas * scale))
    with servers(sync=sync_of(own.mode)) as running:
        load = Load(
            url=running.url,
            sagas=sagas,
            inflight=own.inflight,
            shards=own.shards,
            grouped=own.mode == "grouped",
        )
        single, _ = shared(replace(load, sagas=max(5, int(SINGLES * scale)), inflight=1), 1, running)
        steps, server_cpu = shared(load, own.workers, running)
        refused, _ = shared(replace(load, kind="refused"), own.workers, running)
    times, singles = times_of(steps), times_of(single)
    return {
        "sagas_per_s": len(times) / seconds_of(steps),
        "refused_per_s": len(times_of(refused)) / seconds_of(refused),
        "single_p50_ms": quantile(singles, 0.5) * 1000,
        "single_p99_ms": quantile(singles, 0.99) * 1000,
        "p50_ms": quantile(times, 0.5) * 1000,
        "cpu_us_per_saga": sum(one.cpu for one in steps) / len(times) * 1e6,
        "server_cpu_us_per_saga": server_cpu / len(times) * 1e6,
        "wrong": 0.0,
    }
