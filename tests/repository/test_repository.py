"""The repository on stored records: pages, the index of stuck sagas, counts, groups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from sagakit.errors import InvalidInput, UnknownSaga
from sagakit.repository import SagaRepository, Wanted, parse
from sagakit.repository import repository as repository_module
from sagakit.repository.index import FRESH, Index
from sagakit.store import Names, Store
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer

from tests.repository.records import lease, mark, publish, put, record

Clock = trio.testing.MockClock
STUCK = Wanted(status="stuck")


@asynccontextmanager
async def opened(shards: int = 1) -> AsyncIterator[tuple[Store, SagaRepository]]:
    async with open_memory(MemoryServer(), names=Names(shards=shards)) as store:
        yield store, SagaRepository(store.reading)


async def pages(repository: SagaRepository, wanted: Wanted, limit: int) -> list[list[str]]:
    """Return the ids of each page, to the last one."""
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await repository.list(wanted, limit=limit, cursor=cursor)
        found.append([info.id for info in page.items])
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_pages_are_in_the_order_of_the_last_writes(autojump_clock: Clock, shards: int, limit: int) -> None:
    async with opened(shards) as (store, repository):
        for number in range(10):
            await put(store.state, record(f"s{number}"))
            await trio.sleep(1)
        await put(store.state, record("s4"))
        order = ["s4", *(f"s{number}" for number in (9, 8, 7, 6, 5, 3, 2, 1, 0))]
        found = await pages(repository, Wanted(), limit)
        assert [saga_id for page in found for saga_id in page] == order
        assert [info.id for info in (await repository.list(Wanted())).items] == order


async def test_a_page_of_ended_sagas_is_not_held_up_by_live_ones(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live records that were written later come in between only up to a bound; what has just ended is found first."""
    monkeypatch.setattr(repository_module, "LIVE_AT_MOST", 10)
    monkeypatch.setattr(repository_module, "READ_AT_MOST", 40)
    async with opened() as (store, repository):
        await put(store.archive, *(record(f"old{number}", "completed") for number in range(5)))
        await put(store.state, record("late", "completed"))
        await trio.sleep(1)
        await put(store.state, *(record(f"live{number}") for number in range(100)))
        await trio.sleep(1)
        await put(store.state, record("told", "completed"))
        wanted = Wanted(status="completed", ended=True)
        found = await pages(repository, wanted, 5)
        assert found[0] == ["told", "old4", "old3", "old2", "old1"]
        assert [saga_id for page in found[1:] for saga_id in page] == ["old0", "late"]


async def test_a_page_reads_a_bounded_number_of_records(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module, "READ_AT_MOST", 20)
    async with opened() as (store, repository):
        await put(store.state, record("rare", saga_type="Rare"), *(record(f"s{number}") for number in range(50)))
        wanted = Wanted(where=parse("id = rare", now=0.0))
        page = await repository.list(wanted, limit=5)
        assert (page.items, page.read) == ([], 20)
        found = await pages(repository, wanted, 5)
        assert found == [[], [], ["rare"]]
        assert (await repository.list(Wanted(types=["Rare"]), limit=5)).read == 1, "the type is in the key"


async def test_a_saga_in_both_buckets_is_listed_once_and_a_marker_hides_nothing(autojump_clock: Clock) -> None:
    async with opened() as (store, repository):
        done = record("done", "completed")
        await put(store.state, done)
        await put(store.archive, done)
        wanted = Wanted(status="completed", ended=True)
        for limit in (None, 10):
            assert [info.id for info in (await repository.list(wanted, limit=limit)).items] == ["done"]
        await mark(store.state, done)
        for limit in (None, 10):
            assert [info.id for info in (await repository.list(wanted, limit=limit)).items] == ["done"]
        assert (await repository.list(Wanted())).items == []
        assert (await repository.get("Trip.done")).status == "completed"
        with pytest.raises(UnknownSaga, match="no saga is stored under"):
            await repository.get("Trip.other")


async def test_a_cursor_belongs_to_its_listing(autojump_clock: Clock) -> None:
    async with opened() as (store, repository):
        await put(store.state, record("a"), record("b"))
        cursor = (await repository.list(Wanted(), limit=1)).cursor
        assert cursor is not None
        assert [info.id for info in (await repository.list(Wanted(), cursor=cursor)).items] == ["a"]
        with pytest.raises(InvalidInput, match="of a listing of other sagas"):
            await repository.list(Wanted(types=["Trip"]), limit=1, cursor=cursor)


# ----------------------------------------------------------------------- the index


def by_index_only(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note for each listing if it has gone by the index."""
    helps, helped = Index.helps, []

    async def noted(self: Index, wanted: Wanted, limit: int | None, now: float) -> bool:
        helped.append(await helps(self, wanted, limit, now))
        return helped[-1]

    monkeypatch.setattr(Index, "helps", noted)
    return helped


@asynccontextmanager
async def with_stuck(shards: int = 1) -> AsyncIterator[tuple[Store, SagaRepository]]:
    """Two hundred sagas, of which three are stuck, and one was; all events are in the log, all workers live."""
    async with opened(shards) as (store, repository):
        await put(store.state, *(record(f"s{number}") for number in range(200)))
        stuck = [record(f"stuck{number}", "stuck", error=f"no route to {number}") for number in range(3)]
        await put(store.state, *stuck)
        await publish(store, "stuck", [*stuck, record("s7", "stuck")])
        await trio.sleep(FRESH + 1)
        await lease(store)
        yield store, repository


@pytest.mark.parametrize("shards", [1, 3])
async def test_the_stuck_are_found_by_their_events_and_checked(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    helped = by_index_only(monkeypatch)
    async with with_stuck(shards) as (_, repository):
        found = await repository.list(STUCK)
        assert {info.id for info in found.items} == {"stuck0", "stuck1", "stuck2"}
        assert found.read < 20
        assert sorted(saga_id for page in await pages(repository, STUCK, 2) for saga_id in page) == [
            "stuck0", "stuck1", "stuck2",
        ]  # fmt: skip
        assert helped == [True] * 3
        [group] = await repository.groups(Wanted())
        assert (group.type, group.step, group.error, group.count) == ("Trip", "pay", "no route to #", 3)


async def unpublished(store: Store) -> None:
    """Get a saga stuck whose event is not in the log yet."""
    await put(store.state, record("new", "stuck"))


CAUSES: dict[str, tuple[dict[str, Any], float]] = {
    "it is new": ({}, 0.0),
    "its worker says that events wait": ({"backlog": 60.0}, FRESH + 1),
    "its worker is of an older release": ({"backlog": None}, FRESH + 1),
    "its worker has left": ({"handed_back": True}, FRESH + 1),
    "its worker is silent": ({}, -FRESH - 1),
}


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_stuck_saga_without_an_event_is_not_missed(autojump_clock: Clock, cause: str) -> None:
    says, wait = CAUSES[cause]
    async with with_stuck() as (store, repository):
        await unpublished(store)
        await trio.sleep(abs(wait))
        if wait >= 0:  # else the lease is as old as the record
            await lease(store, **says)
        assert "new" in {info.id for info in (await repository.list(STUCK)).items}
        assert "new" in {info.id for info in (await repository.list(STUCK, limit=5)).items}


async def test_a_stuck_saga_whose_event_the_log_has_lost_is_not_missed(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    helped = by_index_only(monkeypatch)
    server = MemoryServer()
    async with open_memory(server) as store:
        repository = SagaRepository(store.reading)
        old = record("old", "stuck")
        await put(store.state, old)
        await publish(store, "stuck", [old])
        await trio.sleep(100)
        await put(store.state, *(record(f"s{number}") for number in range(100)))
        await publish(store, "started", [record("s1")])
        await trio.sleep(FRESH + 1)
        await lease(store)
        server.lose_events(1)
        assert [info.id for info in (await repository.list(STUCK)).items] == ["old"]
        server.lose_events(1)
        assert [info.id for info in (await repository.list(STUCK)).items] == ["old"]
    assert helped == [True, True]


# ---------------------------------------------------------------------- counts


async def test_counts_are_read_where_they_are_few_and_told_otherwise(autojump_clock: Clock) -> None:
    async with opened(3) as (store, repository):
        await put(store.state, *(record(f"s{number}") for number in range(5)), record("t", saga_type="Tour"))
        ended = [record(f"e{number}", "failed" if number == 0 else "completed") for number in range(4)]
        await put(store.archive, *ended)
        for one in ended:
            await publish(store, "started", [one])
            await publish(store, one.status, [one])
        await lease(store, counts={"Trip": {"running": 50, "stuck": 2}})
        await lease(store, worker="worker-2", counts={"Trip": {"running": 1}})
        read = await repository.count(Wanted())
        assert (read.counts, read.exact) == ({("Tour", "running"): 1, ("Trip", "running"): 5}, True)
        told = await repository.count(Wanted(ended=True), few=3)
        assert told.exact is False
        assert told.counts == {
            ("Trip", "completed"): 3, ("Trip", "failed"): 1, ("Trip", "running"): 51, ("Trip", "stuck"): 2,
        }  # fmt: skip
        assert (await repository.count(Wanted(status="stuck"), few=3)).counts == {("Trip", "stuck"): 2}
        assert (await repository.count(Wanted(), exact=True, few=3)).counts == read.counts
        assert (await repository.count(Wanted(where=parse("type = Trip and id = s1", now=0.0)), few=3)).exact
        await lease(store, worker="worker-3", counts=None)
        assert (await repository.count(Wanted(), few=3)).exact, "a worker of an older release does not count"
