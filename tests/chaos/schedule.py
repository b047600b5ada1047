"""A schedule of faults, all from the seed: their kinds, times, targets and durations, so that a seed can be repeated.

Four tracks run at the same time: one for the workers and their network, one for the servers, one for the workers' wall
clocks, one for the participants. Within a track one fault follows the other, so the servers always have a quorum. Who
leads shows only at run time.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal[
    "kill-worker", "kill-all", "pause-worker", "term-worker", "clock", "cut", "half-open", "latency",
    "kill-node", "kill-leader", "pause-node", "roll", "kill-participant", "pause-participant",
]  # fmt: skip
Kinds = Mapping[Kind, tuple[float, float, float]]
"""Weight, and the least and greatest duration in seconds."""

WORKERS: Kinds = {
    "kill-worker": (3, 0.5, 3.0),
    "kill-all": (1, 0.5, 3.0),
    "pause-worker": (3, 1.3, 2.0),  # times the lease's TTL: a zombie each time
    "term-worker": (1, 0.5, 2.0),
    "cut": (1, 1.0, 12.0),
    "half-open": (1, 4.0, 14.0),
    "latency": (1, 4.0, 10.0),
}
SERVERS: Kinds = {
    "kill-node": (2, 1.0, 5.0),
    "kill-leader": (3, 1.0, 5.0),
    "pause-node": (1, 2.0, 6.0),
    "roll": (1, 0.0, 0.0),
}
PARTICIPANTS: Kinds = {"kill-participant": (3, 0.2, 2.0), "pause-participant": (2, 2.0, 8.0)}
CLOCKS: Kinds = {"clock": (1, 0.0, 0.0)}
PARTICIPANT_NAMES = ("p1", "p2")
PAUSE = (1.0, 5.0)
"""Least and greatest seconds between two faults of a track."""
LATENCY = (0.02, 0.25)
SKEW = (60.0, 600.0)
"""Least and greatest seconds by which a worker's wall clock is ahead or behind."""


class Fault(msgspec.Struct, frozen=True):
    """A fault: `wait` seconds after the last one of its track, for `lasts` seconds.

    `target` is a worker's or a node's name. `extra` is a further number that the kind needs, in seconds: the latency,
    or the lead of the clock from now on. `calls`: the worker that is killed or paused is caught in the middle of calls
    of at least so many sagas, and a pause goes on until other workers have taken these sagas over.
    """

    kind: Kind
    wait: float
    lasts: float
    target: str = ""
    extra: float = 0.0
    calls: int = 0


Only = Literal["all", "servers", "workers"]


class Schedule(msgspec.Struct, frozen=True):
    """The four tracks, and the seconds by which each worker's wall clock is `ahead` at first; 0 for those left out."""

    workers: list[Fault]
    servers: list[Fault]
    clocks: list[Fault] = []
    ahead: dict[str, float] = {}
    participants: list[Fault] = []


def make_schedule(
    seed: int, *, seconds: float, workers: Sequence[str], nodes: Sequence[str], lease_ttl: float, only: Only = "all"
) -> Schedule:
    """Yield the faults that begin within `seconds`. Every kind comes once before the dice decide, if there is time."""
    on_workers = _track(random.Random(f"faults of workers {seed}"), WORKERS, workers, seconds, lease_ttl)
    on_servers = _track(random.Random(f"faults of servers {seed}"), SERVERS, nodes, seconds, lease_ttl)
    dice = random.Random(f"clocks of workers {seed}")
    ahead = {name: _skew(dice) for name in workers}
    on_clocks = _track(dice, CLOCKS, workers, seconds, lease_ttl)  # they are to cost nothing, whose faults there be
    dice = random.Random(f"faults of participants {seed}")
    on_participants = _track(dice, PARTICIPANTS, PARTICIPANT_NAMES, seconds, lease_ttl) if only != "servers" else []
    return Schedule(
        on_workers if only != "servers" else [], on_servers if only != "workers" else [], on_clocks, ahead,
        on_participants,
    )  # fmt: skip


def _skew(dice: random.Random) -> float:
    return dice.choice((1, -1)) * round(dice.uniform(*SKEW), 1)


def _track(
    dice: random.Random,
    kinds: Kinds,
    targets: Sequence[str],
    seconds: float,
    lease_ttl: float,
) -> list[Fault]:
    names = list(kinds)
    first = dice.sample(names, len(names))
    found: list[Fault] = []
    time = 0.0
    while True:
        kind = first.pop() if first else dice.choices(names, weights=[kinds[name][0] for name in names])[0]
        wait = dice.uniform(*PAUSE)
        lasts = dice.uniform(*kinds[kind][1:]) * (lease_ttl if kind == "pause-worker" else 1.0)
        extra = _skew(dice) if kind == "clock" else round(dice.uniform(*LATENCY), 3)
        fault = Fault(kind, round(wait, 2), round(lasts, 2), dice.choice(list(targets)), extra)
        time += wait + lasts
        if time > seconds:
            return found
        found.append(fault)
