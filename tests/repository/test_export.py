"""Tests of an export: each saga once, also those that are written while the pages turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from sagakit.engine import Record
from sagakit.repository import Records, SagaRepository, Wanted, export
from sagakit.repository.export import pages_of_all

from tests.repository.records import record


def written(id: str, at: float) -> Record:
    return msgspec.structs.replace(record(id), created_at=at, updated_at=at)


class Moving:
    """A repository whose sagas are written while pages turn: each one that is written moves to the front."""

    def __init__(self, count: int) -> None:
        self.now = 10_000.0
        self.sagas = [written(f"order-{number}", float(count - number)) for number in range(count)]
        self.read = 0

    def write(self, id: str) -> None:
        self.now += 100
        found = next(one for one in self.sagas if one.saga_id == id)
        self.sagas.remove(found)
        self.sagas.insert(0, msgspec.structs.replace(found, updated_at=self.now))

    def start(self, id: str) -> None:
        self.now += 100
        self.sagas.insert(0, written(id, self.now))

    async def records(self, wanted: Wanted, *, limit: int, cursor: str | None) -> Records:
        place = int(cursor or 0)
        page = self.sagas[place : place + limit]
        self.read += len(page)
        left = place + limit < len(self.sagas)
        return Records(page, cursor=str(place + limit) if left else None, as_of=self.now)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)


async def all_of(moving: Moving, *acts: Any) -> Sequence[Record]:
    found: list[Record] = []
    left = list(acts)
    async for page in pages_of_all(cast("SagaRepository", moving), Wanted(ended=True)):
        found += page.records
        if left:
            left.pop(0)()
    return found


async def test_each_saga_is_exported_once_though_it_moves_to_the_front() -> None:
    moving = Moving(20)
    found = await all_of(moving, lambda: moving.write("order-19"), lambda: moving.write("order-0"))
    assert sorted(one.saga_id for one in found) == sorted(f"order-{number}" for number in range(20))


async def test_sagas_that_are_started_meanwhile_do_not_keep_an_export_going() -> None:
    moving = Moving(8)
    starts = [lambda number=number: moving.start(f"new-{number}") for number in range(50)]
    assert len(await all_of(moving, *starts)) == 8


async def test_the_second_pass_reads_no_more_than_the_front() -> None:
    moving = Moving(300)
    moving.now = 100_000.0
    await all_of(moving)
    assert moving.read < 310
