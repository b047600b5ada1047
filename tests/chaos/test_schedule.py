"""Tests of the schedule and of the load: a seed gives the same ones each time."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.load import CLIENT, plan_load, read_said, read_starts
from tests.chaos.plans import PLANS
from tests.chaos.schedule import CLOCKS, PARTICIPANTS, SERVERS, WORKERS, Schedule, make_schedule

NAMES = ["w1", "w2", "w3"]


def made(seed: int, seconds: float = 300.0) -> Schedule:
    return make_schedule(seed, seconds=seconds, workers=NAMES, nodes=["n1", "n2", "n3"], lease_ttl=6.0)


def test_a_seed_replays_the_schedule() -> None:
    assert made(1) == made(1)
    assert made(1) != made(2)


def test_every_kind_comes_within_five_minutes() -> None:
    for seed in range(50):
        schedule = made(seed)
        assert {fault.kind for fault in schedule.workers} == set(WORKERS)
        assert {fault.kind for fault in schedule.servers} == set(SERVERS)
        assert {fault.kind for fault in schedule.clocks} == set(CLOCKS)
        assert {fault.kind for fault in schedule.participants} == set(PARTICIPANTS)


def test_pauses_of_workers_outlast_the_lease() -> None:
    pauses = [fault.lasts for seed in range(50) for fault in made(seed).workers if fault.kind == "pause-worker"]
    assert min(pauses) > 6.0


def test_the_workers_clocks_differ_by_minutes_and_jump_as_far() -> None:
    assert all(60 <= abs(seconds) <= 600 for seed in range(50) for seconds in made(seed).ahead.values())
    for seed in range(50):
        jumps = made(seed, 60.0).clocks
        assert {fault.target for fault in jumps} == set(NAMES)
        assert all(fault.kind == "clock" and 60 <= abs(fault.extra) <= 600 for fault in jumps)


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    short, long = made(1, 60.0), made(1)
    assert long.workers[: len(short.workers)] == short.workers
    assert long.servers[: len(short.servers)] == short.servers
    assert long.clocks[: len(short.clocks)] == short.clocks
    assert long.participants[: len(short.participants)] == short.participants


def test_a_seed_replays_the_load(tmp_path: Path) -> None:
    for name in ("one", "two"):
        plan_load(tmp_path / name, seed=3, sagas=500, workers=NAMES)
    for name in (CLIENT, *NAMES):
        assert read_starts(tmp_path / "one", name) == read_starts(tmp_path / "two", name)
    assert read_said(tmp_path / "one") == read_said(tmp_path / "two")


def test_the_load_has_every_kind_of_saga_and_some_started_by_two(tmp_path: Path) -> None:
    starts = plan_load(tmp_path / "one", seed=3, sagas=500, workers=NAMES)
    shares = [read_starts(tmp_path / "one", name) for name in (CLIENT, *NAMES)]
    assert all(shares)
    assert len({start.saga_id for start in starts}) == 500
    assert sum(map(len, shares)) > 500
    assert {start.saga_type for start in starts} == {"Order", "Approval", "Transfer", "Dispatch"}
    refused = {str(start.input["refuse"]).partition("/")[0] for start in starts}
    for saga_type, plan in PLANS.items():
        assert {name for name, step in plan.items() if step.called} - {"notify", "file"} <= refused, saga_type
