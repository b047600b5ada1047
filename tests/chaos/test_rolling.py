"""A fleet is restarted worker by worker, in the middle of its sagas: no call is made twice.

See docs/architecture.md, "Drain".
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import trio
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.store.names import Names

from tests.chaos.processes import Child
from tests.chaos.test_zombie import walker
from tests.chaos.walker import STEPS, read_calls
from tests.servers import Server

SAGAS = 20
WORKERS = 3
NEVER = "600"
"""Seconds of a lease that no worker loses, however busy the machine is: only a drain gives a saga another owner."""


async def test_a_rolling_restart_repeats_no_call(server: Server, namespace: str, tmp_path: Path) -> None:
    """Every saga of a worker that is told to leave is in the middle of a call that ends within `drain_timeout`."""
    lease = ("--lease-ttl", NEVER)
    options = ("--sagas", str(SAGAS), "--pace", "0.1", *lease)
    old = [walker(f"old{n}", server, namespace, tmp_path, *options) for n in range(WORKERS)]
    new = [walker(f"new{n}", server, namespace, tmp_path, *lease) for n in range(WORKERS)]
    holds = {child.name: [tmp_path / f"{child.name}-{number}.hold" for number in range(SAGAS)] for child in old}
    try:
        for child in old:
            for hold in holds[child.name]:
                hold.touch()
            child.start()
        await _until(tmp_path, old, "up")
        for before, after in zip(old, new, strict=True):
            after.start()
            await _until(tmp_path, [after], "up")
            before.signal(signal.SIGTERM)
            await _until(tmp_path, [before], "leaving")
            for hold in holds[before.name]:
                hold.unlink()
            with trio.fail_after(60):
                await before.ended()
            assert before.exit_code == 0
        async with open_jetstream(Connection(servers=(server.url,)), names=Names(namespace=namespace)) as store:
            with trio.fail_after(60):
                while len(ended := await store.archive.keys("Walk")) < SAGAS * WORKERS:  # noqa: ASYNC110  # processes set no event
                    await trio.sleep(0.1)
            records = [entry for key in ended if (entry := await store.archive.get(key)) is not None]
    finally:
        for child in (*old, *new):
            await child.stop()
    calls = Counter((call.saga_id, call.step) for call in read_calls(tmp_path))
    assert len(calls) == SAGAS * WORKERS * STEPS
    assert set(calls.values()) == {1}, "a call was made twice"
    assert {call.worker for call in read_calls(tmp_path)} > {"old0", "old1", "old2"}, (
        "sagas went from the old to the new"
    )
    for record in (json.loads(entry.value) for entry in records):
        assert record["status"] == "completed"
        assert record.get("recoveries", 0) == 0
        assert all(step["attempt"] == 1 for step in record["steps"].values())


async def _until(folder: Path, children: list[Child], what: str) -> None:
    with trio.fail_after(60):
        while not all((folder / f"{child.name}.{what}").exists() for child in children):  # noqa: ASYNC110  # as above
            await trio.sleep(0.02)
