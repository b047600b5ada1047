"""A real server is killed with -9 in the middle of many sagas: none is lost and no budget is spent (P8, P12)."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from sagakit import Completed, Context, Handle, open_runtime

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.servers import running_server

SAGAS = 500


async def test_p8_p12_server_killed_in_the_middle_of_500_sagas_loses_none_and_spends_no_budget(tmp_path: Path) -> None:
    under_way = trio.Event()
    go_on = trio.Event()
    waiting = 0

    async def hook(name: str, ctx: Context) -> None:
        """Hold every saga in its second step until the server is killed."""
        nonlocal waiting
        if name == "flight":
            waiting += 1
            if waiting == SAGAS:
                under_way.set()
            await go_on.wait()

    with running_server(tmp_path) as server:
        saga = BookTrip(hook)
        async with open_runtime(server.url, sagas=[saga]) as runtime:
            handles: list[Handle[str]] = [await runtime.start(BookTrip, f"s{n}", Trip()) for n in range(SAGAS)]
            await under_way.wait()
            server.kill()
            go_on.set()
            await trio.to_thread.run_sync(server.start)
            for handle in handles:
                assert await handle.outcome() == Completed("tickets-Rome")
            records = [await record_of(handle) for handle in handles]
    assert all(log.attempt == 1 for record in records for log in record.steps.values()), "a budget was spent"
    assert all(record.recoveries == 0 and record.epoch == 1 for record in records)
    assert len(saga.calls) == len(set(saga.calls)) == 3 * SAGAS, "a call was made twice"


@pytest.mark.parametrize("kills", [3])
async def test_p8_sagas_end_while_the_server_is_killed_repeatedly(tmp_path: Path, kills: int) -> None:
    with running_server(tmp_path) as server:
        saga = BookTrip()
        async with open_runtime(server.url, sagas=[saga]) as runtime:
            ended: list[object] = []

            async def one(number: int) -> None:
                trip = Trip(refuse="tickets" if number % 5 == 0 else "")
                ended.append(await runtime.execute(BookTrip, f"s{number}", trip))

            async with trio.open_nursery() as nursery:
                for number in range(SAGAS):
                    nursery.start_soon(one, number)
                for kill in range(kills):
                    while len(ended) < SAGAS * (kill + 1) // (kills + 2):
                        await trio.lowlevel.checkpoint()
                    server.kill()
                    await trio.to_thread.run_sync(server.start)
            assert len(ended) == SAGAS
            assert sum(isinstance(outcome, Completed) for outcome in ended) == SAGAS * 4 // 5
    assert len(saga.calls) == len(set(saga.calls)), "a call was made twice"
