"""P11 on real processes: a saga that kills its process each time is found out, and the hundred other sagas complete."""

from __future__ import annotations

import json
from pathlib import Path

import trio
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.store.names import Names

from tests.chaos.test_zombie import walker
from tests.chaos.walker import read_calls
from tests.servers import Server

OTHERS = 100
BAD = "prey-50"


async def test_p11_a_saga_that_kills_its_process_is_found_out(server: Server, namespace: str, tmp_path: Path) -> None:
    (tmp_path / f"{BAD}.poison").touch()
    prey = walker("prey", server, namespace, tmp_path, "--sagas", str(OTHERS + 1), "--pace", "0.05")
    ended: list[str] = []
    try:
        async with (
            open_jetstream(Connection(servers=(server.url,)), names=Names(namespace=namespace)) as store,
            trio.open_nursery() as nursery,
        ):
            prey.start()
            nursery.start_soon(prey.keep)
            with trio.fail_after(120):
                while len(ended) < OTHERS + 1:
                    await trio.sleep(0.2)  # the workers are other processes
                    ended = await store.archive.keys("Walk")
            records = [json.loads(entry.value) for key in ended if (entry := await store.archive.get(key)) is not None]
            nursery.cancel_scope.cancel()
    finally:
        await prey.stop()
    by_id = {record["saga_id"]: record for record in records}
    assert by_id.pop(BAD)["status"] == "failed"
    assert {record["status"] for record in by_id.values()} == {"completed"}
    deaths = [call for call in read_calls(tmp_path) if call.saga_id == BAD]
    assert len(deaths) == prey.came_back <= 5, "two together with others, three alone, and no more"
