"""Parents and children end in a worker with fewer places than sagas, since none keeps a place that another needs."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Saga
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer
from sagakit.system.saga.folding import Folding

from tests.system.families import (
    NEVER,
    Fan,
    Hangs,
    Holds,
    Leaf,
    Middle,
    Top,
    all_retired,
    full,
    passivating,
    run_all,
)
from tests.system.members import killable, member

Clock = trio.testing.MockClock


@full
@passivating
@pytest.mark.parametrize(("saga", "each"), [(Middle, 2), (Top, 3), (Fan, 6)])
async def test_parents_and_their_children_complete(
    saga: type[Saga[str, Any]], each: int, places: int, passivate_after: float, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    async with member(
        server, Leaf(), Middle(), Top(), Fan(), max_active=places, passivate_after=passivate_after
    ) as worker:
        outcomes = await run_all(worker, saga, ["go"] * 6)
        assert all(isinstance(outcome, Completed) for outcome in outcomes)
        await all_retired(server, 6 * each)


@full
@passivating
@pytest.mark.parametrize(("saga", "each"), [(Top, 3), (Fan, 6)])
async def test_parents_that_turn_back_have_their_children_undone(
    saga: type[Saga[str, Any]], each: int, places: int, passivate_after: float, autojump_clock: Clock
) -> None:
    """All places are held by parents that undo. Their children have completed, and some are passivated."""
    server, leaf = MemoryServer(), Leaf()
    async with member(
        server, leaf, Middle(), Top(), Fan(), max_active=places, passivate_after=passivate_after
    ) as worker:
        outcomes = await run_all(worker, saga, ["refuse"] * 4)
        assert all(isinstance(outcome, Failed) for outcome in outcomes)
        await all_retired(server, 4 * each)
    assert leaf.log.count("work") == leaf.log.count("undo_work")


@full
async def test_families_across_two_full_workers_end(places: int, autojump_clock: Clock) -> None:
    """Parents on either worker have children on the other one."""
    server, leaf = MemoryServer(), Leaf()
    async with killable() as start:
        one = await start(server, Top(), leaf, max_active=places)
        await start(server, Middle(), max_active=places)
        for text in ("go", "refuse"):
            outcomes = await run_all(one, Top, [text] * 4, prefix=text)
            assert all(isinstance(outcome, Completed if text == "go" else Failed) for outcome in outcomes)
        await all_retired(server, 2 * 4 * 3)
    assert (leaf.log.count("work"), leaf.log.count("undo_work")) == (8, 4)


@full
@pytest.mark.parametrize("call", ["work", "undo_work"])
async def test_the_families_of_a_dead_worker_are_adopted_by_one_with_fewer_places(
    call: str, places: int, autojump_clock: Clock
) -> None:
    """The order of adoption is random: a parent that undoes may come before or after its children."""
    server, hook = MemoryServer(), Hangs(call)
    sagas = Leaf(hook), Middle(), Top()
    async with killable() as start:
        victim = await start(server, *sagas, max_active=20)
        for number in range(6):
            await victim.runtime.start(Top, f"s{number}", "refuse")
        with trio.fail_after(100):
            while hook.hung < 6:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        victim.kill()
        hook.hangs = False
        await start(server, *sagas, max_active=places)
        await all_retired(server, 6 * 3)


async def test_actors_are_kept_for_places_and_waiting_calls_only(autojump_clock: Clock) -> None:
    """All parents could begin before any child ends, and no saga has to give up its actor by itself."""
    server, most = MemoryServer(), 0

    async def hook(name: str, ctx: Context) -> None:
        nonlocal most
        most = max(most, len(worker.worker.sagas))
        await trio.sleep(1)

    async with member(server, Leaf(hook), Fan(), max_active=5, passivate_after=NEVER) as worker:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(worker.runtime.start, Fan, f"s{number}", "go")
        await all_retired(server, 600)
    assert most <= 8 * 5, "a few for each place, of six hundred sagas"


async def test_waiting_children_and_their_parent_cost_no_actor(autojump_clock: Clock) -> None:
    server, go_on = MemoryServer(), trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await go_on.wait()

    async with member(server, Leaf(hook), Fan(), max_active=1, passivate_after=NEVER) as worker:
        await worker.runtime.start(Fan, "f", "go")
        await trio.sleep(10)
        assert (len(worker.worker.sagas), worker.worker.sagas.passivated) == (1, 5)
        assert len(server.bucket("SAGA_STATE").entries("Leaf")) == 5, "they are durable"
        go_on.set()
        await all_retired(server, 6)


@pytest.mark.usefixtures("quiet_crashes")
async def test_a_child_without_a_place_waits_quietly_until_its_parent_is_told(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events are published, so only the parent's answer may wake it."""
    server, holds, fold, folds = MemoryServer(), Holds(), Folding.fold, list[str]()

    def counted(self: Folding, *args: Any) -> Any:
        folds.append(self._key)
        assert len(folds) < 500, "the actor spins"
        return fold(self, *args)

    monkeypatch.setattr(Folding, "fold", counted)
    go_on = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await go_on.wait()

    async with member(server, Leaf(hook), Middle(), holds, max_active=1) as worker, trio.open_nursery() as nursery:
        await worker.runtime.start(Middle, "m", "go")
        await trio.sleep(5)
        nursery.start_soon(worker.runtime.start, Holds, "h", "x")
        await trio.sleep(1)
        server.faults.order(StoreFault(kind="slow", key="Middle.m", delay=5.0))
        go_on.set()
        await trio.sleep(10)
        assert len(folds) < 100
        holds.go_on.set()
        await all_retired(server, 2)


@pytest.mark.usefixtures("quiet_crashes")
@pytest.mark.parametrize("seed", range(8))
async def test_families_end_in_a_full_worker_whose_actors_crash(seed: int, autojump_clock: Clock) -> None:
    """A saga that crashes keeps its place, or its turn in the queue. Suspects have their own turns in addition."""
    random, server = Random(seed), MemoryServer()
    options = {"max_active": 1 + seed % 3, "max_restarts": 10_000, "max_isolated_crashes": 10_000}

    async def hook(name: str, ctx: Context) -> None:
        await trio.sleep(random.random())

    async with member(server, Leaf(hook), Middle(), Top(), Fan(), **options) as worker:
        async with trio.open_nursery() as nursery:
            for number in range(8):
                saga: Any = random.choice([Middle, Top, Fan])
                nursery.start_soon(worker.runtime.start, saga, f"s{number}", random.choice(["go", "refuse"]))
            for _ in range(60):
                await trio.sleep(random.random())
                if keys := await worker.runtime.list_active():
                    actor: Any = worker.worker.sagas.get(random.choice(keys))
                    actor._cell.crash(RuntimeError("a bug"))
        with trio.fail_after(5000):
            while any(len(server.bucket("SAGA_STATE").entries(name)) for name in ("Leaf", "Middle", "Top", "Fan")):  # noqa: ASYNC110
                await trio.sleep(1)
        assert (len(worker.worker.sagas), worker.worker.sagas.passivated) == (0, 0)
        assert worker.worker.environment.gate.is_open
        places, most = worker.worker.sagas.places, options["max_active"]
        assert [places.use(str(number)) for number in range(most + 1)] == [True] * most + [False], "no place is lost"
