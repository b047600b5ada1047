"""Default plans of the benchmarks: the cases and the title of each, at a scale.

1 is for figures, 0.01 to see it run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sagakit.jetstream.server_process import Sync

from benchmarks import (
    actors,
    client,
    commands,
    console,
    cost,
    intake,
    latency,
    loops,
    recovery,
    remote,
    single,
    throughput,
    unanswered,
    variants,
    visibility,
    waiting,
)
from benchmarks.modes import ENOUGH, ENOUGH_FSYNC, Mode, without_groups
from benchmarks.result import Bench, Case
from benchmarks.stored import Sizes
from benchmarks.throughput import Load

Syncs = tuple[Mode, ...]
BUSY = f"{ENOUGH} ({ENOUGH_FSYNC} with fsync)"


class Plan(NamedTuple):
    """A benchmark, ready to run."""

    bench: Bench
    cases: list[Case]
    title: str


def _size(scale: float, count: int, *, least: int = 1) -> int:
    return max(least, int(count * scale))


def _load(scale: float, sagas: int = 10_000, *, inflight: int = 500) -> Load:
    return Load(sagas=_size(scale, sagas, least=10), inflight=inflight)


def load_plan(load: Load, syncs: Syncs) -> Plan:
    """Return a plan of `throughput` with your own sizes."""
    inflight = str(load.inflight) if load.inflight else BUSY
    title = f"{load.sagas:,} sagas of {load.steps} steps, {inflight} in flight, {load.workers} worker process"
    return Plan(throughput.BENCH, throughput.cases(load, syncs), title + ("es" if load.workers > 1 else ""))


def _throughput(scale: float, syncs: Syncs) -> Plan:
    return load_plan(_load(scale, inflight=0), syncs)


def latency_plan(scale: float, syncs: Syncs, rate: float = 0.0) -> Plan:
    """Return a plan of `latency`, at one rate in sagas a second; 0 is parts of the worker's capacity."""
    seconds = latency.SECONDS * min(1.0, scale)
    load = latency.Load(sagas=_size(scale, 5_000, least=30), seconds=seconds, rate=rate)
    loads = f"{rate:g} sagas/s" if rate else "10, 50 and 80 % of the worker's capacity"
    return Plan(latency.BENCH, latency.cases(load, syncs), f"open loop at {loads}")


def _single(scale: float, syncs: Syncs) -> Plan:
    return Plan(single.BENCH, single.cases(_size(scale, 1_000, least=10), syncs), "one saga of 3 steps at a time")


def _cost(scale: float, syncs: Syncs) -> Plan:
    return Plan(cost.BENCH, cost.cases(_size(scale, 3_000, least=10), syncs), "messages of a saga of 3 steps")


def _loops(scale: float, syncs: Syncs) -> Plan:
    found = loops.cases(_load(scale, 1_500), _size(scale, 300, least=10), without_groups(syncs)[:1])
    return Plan(loops.BENCH, found, f"nats-py in a thread compared with trio-asyncio, {loops.PAIRS} pairs a run")


def _compensation(scale: float, syncs: Syncs) -> Plan:
    title = f"third step refused, two undone, {BUSY} in flight"
    load = _load(scale, inflight=0)
    return Plan(variants.COMPENSATION, variants.compensation(load, syncs), title)


def _fanout(scale: float, syncs: Syncs) -> Plan:
    load = _load(scale, 300, inflight=10)
    return Plan(variants.FANOUT, variants.fanout(load, without_groups(syncs)), "100 steps at once, 10 sagas in flight")


def _remote(scale: float, syncs: Syncs) -> Plan:
    sagas, inflight = _size(scale, 5_000, least=10), ENOUGH
    title = f"{sagas:,} sagas of {remote.STEPS} remote steps, {inflight} in flight, one worker, one participant"
    return Plan(remote.BENCH, remote.cases(sagas, inflight, without_groups(syncs)), title)


def _intake(scale: float, syncs: Syncs) -> Plan:
    sagas = _size(scale, 5_000, least=10)
    return Plan(intake.BENCH, intake.cases(sagas, without_groups(syncs)), f"{sagas:,} sagas that commands start")


def _client(scale: float, syncs: Syncs) -> Plan:
    waits = (1, _size(scale, 10_000, least=20))
    found = client.cases(waits, without_groups(syncs), ended=_size(scale, client.ENDED, least=5))
    return Plan(client.BENCH, found, "a client without a worker: from the end of a saga to its outcome")


def _commands(scale: float, _: Syncs) -> Plan:
    sagas = _size(scale, 5_000, least=20)
    title = f"the command line, with {2 * sagas:,} stuck sagas, half of them retried and half of them terminated"
    return Plan(commands.BENCH, commands.cases(sagas, times=_size(scale, commands.TIMES)), title)


def _waiting(scale: float, syncs: Syncs) -> Plan:
    full: dict[Sync, tuple[int, ...]] = {"relaxed": (10_000, 100_000), "always": (10_000,)}
    sizes: dict[Sync, tuple[int, ...]] = {
        sync: tuple(_size(scale, size, least=20) for size in full[sync]) for sync in without_groups(syncs)
    }
    return Plan(waiting.BENCH, waiting.cases(sizes), "sagas that wait on a timer")


def _unanswered(scale: float, _: Syncs) -> Plan:
    sizes = [_size(scale, size, least=20) for size in unanswered.SIZES]
    return Plan(unanswered.BENCH, unanswered.cases(sizes), "sagas that wait for a participant's reply")


def _recovery(scale: float, syncs: Syncs) -> Plan:
    sagas = _size(scale, 10_000, least=20)
    title = f"a worker killed with {sagas:,} sagas in flight, taken over by a second one"
    return Plan(recovery.BENCH, recovery.cases(sagas, without_groups(syncs)), title)


def _growth(scale: float, syncs: Syncs) -> Plan:
    found = variants.growth(_load(scale, 6_000), without_groups(syncs), scale=scale)
    return Plan(variants.GROWTH, found, "CPU with more live sagas, and with more steps")


def _durability(scale: float, syncs: Syncs) -> Plan:
    title = "one node and three; server default, fsync before every acknowledgment, and one for many"
    return Plan(variants.DURABILITY, variants.durability(_load(scale), syncs), title)


def _shards(scale: float, syncs: Syncs) -> Plan:
    return Plan(
        variants.SHARDS_BENCH, variants.shards(_load(scale), without_groups(syncs)), "state buckets and event streams"
    )


def _groups(scale: float, syncs: Syncs) -> Plan:
    title = "writes that go singly, and writes that share atomic batches, on one node"
    return Plan(variants.GROUPS, variants.groups(_load(scale), without_groups(syncs)), title)


def _fleet(scale: float, syncs: Syncs) -> Plan:
    return Plan(
        variants.FLEET, variants.fleet(_load(scale), without_groups(syncs)), "workers and shards on three nodes"
    )


def _actors(scale: float, syncs: Syncs) -> Plan:
    found = actors.cases(_size(scale, 20_000, least=50), _size(scale, 20_000, least=50))
    return Plan(actors.BENCH, found, "actors compared with bare trio channels and pykka")


def console_plan(load: console.Load) -> Plan:
    """Return a plan of `console` with your own sizes."""
    pages, rate = load.beside.pages, load.beside.rate
    stored = f"{load.live:,} live and {load.archived:,} archived sagas"
    return Plan(console.BENCH, console.cases(load), f"{stored}; {pages} pages open beside {rate:g} sagas/s")


def _console(scale: float, _: Syncs) -> Plan:
    return console_plan(console.Load().scaled(scale))


def visibility_plan(sizes: Sizes) -> Plan:
    """Return a plan of `visibility` with your own sizes."""
    title = f"looking at up to {sizes.live:,} live and {sizes.archived:,} archived sagas, {sizes.events:,} events"
    return Plan(visibility.BENCH, visibility.cases(sizes), title)


def _visibility(scale: float, _: Syncs) -> Plan:
    return visibility_plan(Sizes(*(_size(scale, size) for size in visibility.FULL)))


PLANS: dict[str, tuple[str, Callable[[float, Syncs], Plan]]] = {
    "throughput": ("Sagas a second, all durable.", _throughput),
    "latency": ("From the intended start to the outcome, in an open loop.", latency_plan),
    "single": ("One saga at a time, against four acknowledged writes of raw nats-py.", _single),
    "cost": ("Messages a saga that each stream stores, against single acknowledgments.", _cost),
    "loops": ("nats-py's loop in a thread, compared with trio-asyncio.", _loops),
    "compensation": ("The third step refuses, two are undone.", _compensation),
    "fanout": ("A hundred steps at once.", _fanout),
    "remote": ("Steps that a participant in another process does, beside as many local ones.", _remote),
    "intake": ("Sagas that commands on a stream start, beside direct starts.", _intake),
    "client": ("From the end of a saga to its outcome, and what many waits cost a client.", _client),
    "commands": ("Start of the commands, and a verb for thousands of sagas.", _commands),
    "console": ("First paints of the console with many stored sagas, and what pages that stay open cost.", _console),
    "waiting": ("Bytes of worker memory a waiting saga, and whether all wake in order.", _waiting),
    "unanswered": ("Bytes a saga that waits for a reply, and how soon a reply wakes one.", _unanswered),
    "recovery": ("A killed worker's sagas, until the last is resumed by another.", _recovery),
    "growth": ("Cost with more live sagas, and with more steps.", _growth),
    "durability": ("One node and three, with and without an fsync before every acknowledgment.", _durability),
    "shards": ("More state buckets and event streams.", _shards),
    "groups": ("Writes that share atomic batches, against single ones.", _groups),
    "fleet": ("More workers and more shards, on a cluster of three.", _fleet),
    "visibility": ("Pages, the stuck, counts and histories with many stored sagas.", _visibility),
    "actors": ("Mailbox, ask, spawn, memory, against bare trio channels and pykka.", _actors),
}
"""Description of each benchmark in one line, and its plan at a scale for some durabilities."""
if not loops.AVAILABLE:
    del PLANS["loops"]
