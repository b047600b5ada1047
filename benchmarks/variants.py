"""Cases of `throughput`: other sagas, more of them, other durability, more shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from benchmarks.modes import ENOUGH, Mode
from benchmarks.result import Bench, Case, Figures, Row, paired
from benchmarks.throughput import FIGURES, NOT_SHOWN, Load, case, cases

BRANCHES = 100
LIVE = (1_000, 10_000, 100_000)
STEPS = (3, 10, 30, 100)
SHARDS: dict[Literal[1, 3], tuple[int, ...]] = {1: (1, 2, 4, 8), 3: (1, 2, 4)}
WORKERS = (1, 2, 3)
CROWDS = (100, 500, 1_000)
NODES: tuple[Literal[1, 3], ...] = (1, 3)


def _ratios(rows: Sequence[Row], label: str, figure: str, name: str, *, per: bool = False) -> Figures:
    """Return each row's figure over that of the first row with another `label`; `per`: over the label's value."""
    found: Figures = {}
    for sync in ("relaxed", "always"):
        some = [row for row in rows if row.labels.get("sync") == sync and label in row.labels]
        for row in some[1:]:
            size = int(some[0].labels[label]) / int(row.labels[label]) if per else 1.0
            found[f"{name}_{row.labels[label]}_over_{some[0].labels[label]}_{sync}"] = (
                paired(row, some[0], figure) * size
            )
    return found


def _growth(rows: Sequence[Row]) -> Figures:
    live = [row for row in rows if "live" in row.labels]
    steps = [row for row in rows if "steps" in row.labels]
    return (
        _ratios(live, "live", "cpu_us_per_saga", "cpu_per_saga_live")
        | _ratios(live, "live", "server_cpu_us_per_saga", "server_cpu_per_saga_live")
        | _ratios(steps, "steps", "cpu_us_per_saga", "cpu_per_step_steps", per=True)
        | _ratios(steps, "steps", "server_cpu_us_per_saga", "server_cpu_per_step_steps", per=True)
    )


def _against_the_first(rows: Sequence[Row]) -> Figures:
    names = [f"{row.labels['sync']}_R{row.labels['replicas']}" for row in rows]
    return {
        f"sagas_per_s_{name}_over_{names[0]}": paired(row, rows[0], "sagas_per_s")
        for name, row in zip(names[1:], rows[1:], strict=True)
    }


def _against_one_worker(rows: Sequence[Row]) -> Figures:
    names = [f"workers_{row.labels['workers']}_shards_{row.labels['shards']}" for row in rows]
    return {
        f"sagas_per_s_{name}_over_{names[0]}": paired(row, rows[0], "sagas_per_s")
        for name, row in zip(names[1:], rows[1:], strict=True)
    }


def _against_one_shard(rows: Sequence[Row]) -> Figures:
    found: Figures = {}
    for row in rows:
        one = next(
            other
            for other in rows
            if other.labels | {"shards": 0} == row.labels | {"shards": 0} and other.labels["shards"] == 1
        )
        if one is not row:
            name = f"sagas_per_s_{row.labels['sync']}_R{row.labels['replicas']}_shards_{row.labels['shards']}_over_1"
            found[name] = paired(row, one, "sagas_per_s")
    return found


def _against_single_writes(rows: Sequence[Row]) -> Figures:
    """Return the figures of the rows whose writes share batches over those of the rows before them."""
    found: Figures = {}
    for single, grouped in zip(rows[::2], rows[1::2], strict=True):
        for name in ("sagas_per_s", "cpu_us_per_saga", "server_cpu_us_per_saga", "p99_ms"):
            key = f"{name}_{single.labels['sync']}_{single.labels['inflight']}_grouped_over_single"
            found[key] = paired(grouped, single, name)
    return found


COMPENSATION = Bench("compensation", FIGURES, f"the third step is refused at once, and two are undone; {NOT_SHOWN}")
FANOUT = Bench(
    "fanout",
    FIGURES,
    f"one step, then {BRANCHES} at once: per step, divide by {BRANCHES + 1}; the record grows with each; {NOT_SHOWN}",
)
GROWTH = Bench("growth", FIGURES, f"the live sagas wait on a timer and are passivated; {NOT_SHOWN}", _growth)
DURABILITY = Bench(
    "durability",
    FIGURES,
    f"three nodes share the two cores and the one disk of one machine, with no network between them; {NOT_SHOWN}",
    _against_the_first,
)
SHARDS_BENCH = Bench(
    "shards",
    FIGURES,
    f"the floor is one stream at any number of shards; on several disks and machines, shards gain more; {NOT_SHOWN}",
    _against_one_shard,
)

GROUPS = Bench(
    "groups",
    FIGURES,
    "under `relaxed` there is no fsync to share, and no worker groups its writes there unless it is told to; "
    f"{NOT_SHOWN}",
    _against_single_writes,
)
FLEET = Bench(
    "fleet",
    FIGURES,
    "three servers with three copies of everything and up to three workers share two cores and one disk: the gain from "
    f"more machines cannot be seen, only the cost of each addition; {NOT_SHOWN}",
    _against_one_worker,
)


def compensation(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return cases of three steps, the last of which refuses."""
    return cases(replace(load, kind="refused"), syncs)


def fanout(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return cases of one step and then a hundred at once."""
    return cases(replace(load, kind="fanout", steps=BRANCHES), syncs)


def growth(load: Load, syncs: tuple[Mode, ...], *, scale: float) -> list[Case]:
    """Return cases of more live sagas, then of more steps.

    Fewer sagas of many steps run, so that each row takes as long.
    """
    live = [
        case(replace(load, live=live, inflight=ENOUGH, sync=sync), {"live": live, "sync": sync})
        for sync in syncs
        for full in (LIVE if sync == "relaxed" else LIVE[:-1])  # starting the last number would take minutes
        for live in [max(1, int(scale * full))]
    ]
    steps = [
        case(
            replace(load, steps=steps, sagas=max(20, load.sagas * 3 // steps), inflight=ENOUGH, sync=sync),
            {"steps": steps, "sync": sync},
        )
        for sync in syncs
        for steps in STEPS
    ]
    return live + steps


def _on(load: Load, nodes: Literal[1, 3], sync: Mode) -> Load:
    """Return a load for these nodes. In a shared log sagas share each fsync, so twice as many keep it busy."""
    return replace(load, nodes=nodes, sync=sync, inflight=load.inflight * (2 if (nodes, sync) == (3, "always") else 1))


def durability(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return cases of each durability on one node and on three."""
    return [
        case(_on(load, nodes, sync), {"sync": sync, "replicas": nodes})
        for nodes in NODES
        for sync in syncs
        if (nodes, sync) != (3, "grouped")  # streams with copies share no batches: the same as `always`
    ]


def shards(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return cases of more state buckets and event streams."""
    return [
        case(replace(_on(load, nodes, sync), shards=shards), {"sync": sync, "replicas": nodes, "shards": shards})
        for nodes in NODES
        for sync in syncs
        for shards in SHARDS[nodes]
    ]


def groups(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return cases without atomic batches and with them, one behind the other, for more and more sagas in flight."""
    return [
        case(
            replace(load, sync=sync, inflight=inflight, groups=groups),
            {"sync": sync, "inflight": inflight, "group_commit": "on" if groups else "off"},
        )
        for sync in syncs
        for inflight in CROWDS
        for groups in (False, True)
    ]


def fleet(load: Load, syncs: tuple[Mode, ...]) -> list[Case]:
    """Return cases of more workers and shards, on three nodes, with the first of the durabilities only."""
    return [
        case(
            replace(load, sync=syncs[0], nodes=3, shards=shards, workers=workers),
            {"sync": syncs[0], "workers": workers, "shards": shards},
        )
        for workers in WORKERS
        for shards in SHARDS[3]
    ]
