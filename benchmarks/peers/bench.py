"""sagakit compared with its peers: the same work in the same run, the peers taking turns with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory

import trio

from benchmarks.modes import Mode, sync_of
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.harness import FIGURES, Task, in_a_process
from benchmarks.result import Bench, Case, Figures, Labels, Row, paired, quantile
from benchmarks.servers import Servers, servers
from benchmarks.worker import Report, worker
from benchmarks.worker import Task as Load
from benchmarks.workload import Kind

SINGLES = 100
OWN = 6_000
INFLIGHT = 500
SETTINGS: tuple[tuple[Mode, int], ...] = (("relaxed", 1), ("always", 1), ("always", 8), ("grouped", 1))
"""Durability and shards of our own rows."""


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
    "one machine with few cores shared by all parts of each, loopback, no-op steps, one process of user code each, "
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
    own = [
        Case(_own_labels(sync, shards), partial(_measure_own, scale, sync, shards))
        for sync, shards in SETTINGS
        if sync in syncs
    ]
    return own + [
        Case({"peer": peer.name, "in flight": peer.inflight}, partial(_measure_peer, scale, peer.module, peer.store))
        for peer in (available() if peers is None else peers)
    ]


def _own_labels(sync: Mode, shards: int) -> Labels:
    some = f"sagakit, {sync}" + (f", {shards} shards" if shards > 1 else "")
    return {"peer": some, "in flight": INFLIGHT}


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


async def _measure_own(scale: float, sync: Mode, shards: int) -> Figures:
    return await trio.to_thread.run_sync(_own, scale, sync, shards)


def _own(scale: float, sync: Mode, shards: int) -> Figures:
    """Run three loads on one server, one after the other, each in a separate worker process."""
    sagas = max(20, int(OWN * scale) // (1 if sync == "relaxed" else 3))
    with servers(sync=sync_of(sync)) as running:
        single, _ = _load(running, "steps", max(5, int(SINGLES * scale)), 1, shards, sync)
        steps, server_cpu = _load(running, "steps", sagas, INFLIGHT, shards, sync)
        refused, _ = _load(running, "refused", sagas, INFLIGHT, shards, sync)
    return {
        "sagas_per_s": sagas / (steps.ended - steps.began),
        "refused_per_s": sagas / (refused.ended - refused.began),
        "single_p50_ms": quantile(single.times, 0.5) * 1000,
        "single_p99_ms": quantile(single.times, 0.99) * 1000,
        "p50_ms": quantile(steps.times, 0.5) * 1000,
        "cpu_us_per_saga": steps.cpu / sagas * 1e6,
        "server_cpu_us_per_saga": server_cpu / sagas * 1e6,
        "wrong": 0.0,
    }


def _load(running: Servers, kind: Kind, sagas: int, inflight: int, shards: int, sync: Mode) -> tuple[Report, float]:
    with ExitStack() as stack:
        task = Load(
            url=running.url, kind=kind, sagas=sagas, inflight=inflight, shards=shards, grouped=sync == "grouped"
        )
        one = stack.enter_context(worker(task))
        one.read()
        cpu = running.cpu()
        one.write("go")
        return one.report(), running.cpu() - cpu
