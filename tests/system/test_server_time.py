"""Workers write the server's time, and search the log by it, on a real server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from sagakit import Completed, Config, Runtime, open_runtime
from sagakit.binding.registry import Registry
from sagakit.client.bare_errors import bare_errors
from sagakit.cluster.worker import run_worker
from sagakit.system.open_store import open_store

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.members import no_asyncio, until_idle

HOUR = 3600.0


@asynccontextmanager
async def worker(server: Server, namespace: str, *, now: Callable[[], float]) -> AsyncIterator[Runtime]:
    """A worker that uses its own clock, as all did once."""
    config = Config(namespace=namespace)
    with bare_errors():
        async with (
            open_store(server.url, config) as store,
            run_worker(
                store, registry=Registry([BookTrip()]), config=config, call_asyncio=no_asyncio, now=now
            ) as running,
        ):
            yield Runtime(running)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 40 * 24 * HOUR])
async def test_the_history_of_a_saga_is_found_whatever_time_its_record_says(
    ahead: float, server: Server, namespace: str
) -> None:
    """An older worker, an hour ahead, has written the record, so its events seem older than the saga."""
    async with worker(server, namespace, now=lambda: time.time() + ahead) as runtime:
        assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        with trio.fail_after(60):
            await until_idle(runtime)
        history = await runtime.history(BookTrip, "one")
    assert [event.sequence for event in history.events] == [1, 2, 3, 4, 5]


async def test_a_worker_writes_the_servers_time_and_reports_its_own_offset(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        before = runtime._store.clock.now()
        handle = await runtime.start(BookTrip, "one", Trip())
        record = await record_of(handle)
        assert before <= record.created_at <= runtime._store.clock.now()
        assert abs(runtime.metrics()["clock_skew_seconds"]) < 30, "the server is on this machine"
