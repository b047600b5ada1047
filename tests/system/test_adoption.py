"""A sweep adopts the records that a scan hands to it, even if the scan then fails."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Context
from sagakit.binding.registry import Registry
from sagakit.client.bare_errors import bare_errors
from sagakit.cluster import adoption as module
from sagakit.cluster.adoption import Adoption, Orphan
from sagakit.errors import Conflict, Unavailable
from sagakit.store.memory_server import MemoryServer
from sagakit.system.large_values import LargeValues
from sagakit.system.reports import Reports
from sagakit.system.saga_tracer import SagaTracer

from tests.sagas import BookTrip, Trip
from tests.system.members import member


class Begun:
    """A stand-in for `ActiveSagas`: each begin takes a second, and two ids fail (`taken`, `away`)."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.at_once = 0
        self.most = 0

    async def begin(self, key: str, binding: object, origin: object) -> object:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await trio.sleep(1)
        self.at_once -= 1
        if key.endswith("taken"):
            raise Conflict(key, 1)
        if key.endswith("away"):
            raise Unavailable(key)
        self.keys.append(key)
        return object()


async def orphans(*ids: str) -> list[Orphan]:
    """Return records of sagas in the middle of a step, as a scan finds them."""
    server = MemoryServer()
    async with member(server, BookTrip(_held)) as one:
        for saga_id in ids:
            await one.runtime.start(BookTrip, saga_id, Trip())
        entries = [server.bucket("SAGA_STATE").read(f"BookTrip.{saga_id}") for saga_id in ids]
        one.kill()
    return [Orphan(entry, f"owner of {entry.key}") for entry in entries if entry is not None]


async def _held(name: str, ctx: Context) -> None:
    if name == "flight":
        await trio.sleep_forever()


async def swept(begun: Begun, *found: list[Orphan], broken: bool = False) -> tuple[Adoption, module.Sweep]:
    any_begun: Any = begun
    no_store: Any = None
    sweep: module.Sweep | None = None
    adoption = Adoption(Registry([BookTrip()]), any_begun, LargeValues(no_store, None), reports=Reports(SagaTracer()))
    with bare_errors():
        try:
            async with adoption.sweep() as sweep:
                for page in found:
                    sweep.adopt(page)
                    await trio.sleep(0.1)
                if broken:
                    raise Unavailable("the scan was broken off")
        finally:
            assert adoption.pending == 0
    return adoption, sweep


async def test_records_are_adopted_before_a_broken_scan_is_reported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    begun = Begun()
    with pytest.raises(Unavailable, match="broken off"):
        await swept(begun, await orphans("a", "b", "c"), broken=True)
    assert sorted(begun.keys) == ["BookTrip.a", "BookTrip.b", "BookTrip.c"]


async def test_pages_are_adopted_as_they_come_within_the_limit_of_concurrency(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "CONCURRENT", 4)
    begun = Begun()
    found = await orphans(*(f"s{number}" for number in range(10)))
    began = trio.current_time()
    adoption, sweep = await swept(begun, found[:3], found[3:])
    assert (begun.most, adoption.adopted, sweep.handed_in) == (4, 10, 10)
    assert trio.current_time() - began < 4, "three came and went with the first page"
    progress, end = [record.getMessage() for record in caplog.records if record.name == "sagakit.recovery"]
    assert progress.endswith("of 10 sagas that were found so far")
    assert end == "adopted 10 of 10 sagas in 3.00 s"


async def test_a_record_of_another_worker_counts_as_taken_and_a_failed_write_is_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    begun = Begun()
    adoption, sweep = await swept(begun, await orphans("a", "taken"))
    assert (adoption.adopted, sweep.unfinished, sweep.still_named) == (1, False, set())
    adoption, sweep = await swept(begun, await orphans("b", "away"))
    assert (adoption.adopted, sweep.unfinished, sweep.still_named) == (1, True, {"owner of BookTrip.away"})
