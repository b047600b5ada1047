"""Writes that share atomic batches: each gets its own result, whatever becomes of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sagakit.errors import StoreError
from sagakit.store import gathering
from sagakit.store.gathering import BatchRefused, Gathering
from sagakit.store.ports import Done, Write

from tests.store.gathering_world import Batch, Single, World

SEEDS = range(100)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three writes be a group."""
    monkeypatch.setattr(gathering, "ENTER", 3)
    monkeypatch.setattr(gathering, "LEAVE", 2)
    monkeypatch.setattr(gathering, "MOST", 5)


def run_all(*, twice: bool = True) -> list[World]:
    worlds = [World(seed, twice=twice) for seed in SEEDS]
    for world in worlds:
        world.run()
    return worlds


@pytest.mark.parametrize("twice", [False, True], ids=["once", "handed in twice"])
def test_each_write_gets_its_own_result(twice: bool) -> None:
    worlds = run_all(twice=twice)
    assert max(world.largest for world in worlds) == 5
    assert sum(world.refusals for world in worlds) > 100
    assert sum(len(world.batched) for world in worlds) > 500


# ------------------------------------------------------------------- mutants

ENDED = Gathering._batch_ended


def refused_is_committed(group: Gathering[Any], members: Sequence[Any], result: Any) -> None:
    world = group._carrier
    assert isinstance(world, World)
    last = len(world.stream)
    ENDED(group, members, range(last - len(members) + 1, last + 1) if isinstance(result, BatchRefused) else result)


def one_key_for_all(group: Gathering[Any], members: Sequence[Any], result: Any) -> None:
    world = group._carrier
    assert isinstance(world, World)
    revision, value = world.read(members[0].order)
    if isinstance(result, StoreError) and value == members[0].write.value:
        result = range(revision, revision + len(members))
    ENDED(group, members, result)


def all_are_guilty(group: Gathering[Any], members: Sequence[Any], result: Any) -> None:
    for one in members if isinstance(result, BatchRefused) else ():
        one.done(StoreError("wrong last sequence"))
    ENDED(group, members, result)


def never_under_way(group: Gathering[Any], *_: Any) -> bool:
    group._under_way = False
    return bool(group._waiting) or group._singles >= group._enter


def gathers_always(group: Gathering[Any], *_: Any) -> bool:
    return True


SUBMIT = Gathering.submit


def shares_again(group: Gathering[Any], order: str, write: Write, size: int, done: Done, *, alone: bool) -> None:
    SUBMIT(group, order, write, size, done, alone=False)


@pytest.mark.parametrize(
    ("name", "mutant", "said"),
    [
        ("_batch_ended", refused_is_committed, "is not at|list index"),
        ("_batch_ended", one_key_for_all, "is not at|list index"),
        ("_batch_ended", all_are_guilty, "at fault for another"),
        ("submit", shares_again, "alone is in a batch"),
        ("_gathers", never_under_way, "two batches are under way"),
        ("_gathers", gathers_always, "on an idle stream waits"),
    ],
)
def test_a_planted_bug_is_found(name: str, mutant: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gathering, name, mutant)
    with pytest.raises((AssertionError, IndexError), match=said):
        run_all()


# --------------------------------------------------------------- single rules


def test_a_stream_that_takes_no_batches_any_more_gets_single_writes() -> None:
    world = World(0)

    def submit(numbers: range) -> None:
        for number in numbers:
            write = Write(f"U.{number}", f"{number}".encode(), 0)
            world.gathering.submit(write.key, write, 1, lambda _: None, alone=False)

    submit(range(6))
    batch = world.sent.pop()
    assert isinstance(batch, Batch)
    batch.done(BatchRefused("atomic publish is disabled", for_good=True))
    submit(range(6, 20))
    while world.pause.asked:
        world.pause.asked.pop()()
    submit(range(20, 30))
    assert len(world.sent) == 30
    assert all(isinstance(one, Single) for one in world.sent)


def test_writes_that_go_alone_never_make_another_one_wait() -> None:
    """As long as large records came, a small one waited behind them."""
    world = World(0)
    for number in range(5):
        write = Write(f"U.{number}", f"{number}".encode(), 0)
        world.gathering.submit(write.key, write, 1, lambda _: None, alone=number < 4)
    assert [type(one) for one in world.sent] == [Single] * 5


def test_a_large_write_goes_alone() -> None:
    """With the headers of a batch its message could be larger than the server takes."""
    world = World(0)
    for number in range(12):
        write = Write(f"U.{number}", f"{number}".encode(), 0)
        size = gathering.LARGE + 1 if number % 3 == 0 else gathering.LARGE
        world.gathering.submit(write.key, write, size, lambda _: None, alone=False)
    while world.pause.asked:
        world.pause.asked.pop()()
    batched = {write.key for one in world.sent if isinstance(one, Batch) for write in one.writes}
    assert batched
    assert not batched & {f"U.{number}" for number in range(0, 12, 3)}
