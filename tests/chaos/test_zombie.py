"""A real zombie: SIGSTOP for longer than the lease, SIGCONT in the middle of an action. It commits nothing (P7)."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import trio
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.store.names import Names

from tests.chaos.processes import Child
from tests.chaos.walker import Called, read_calls
from tests.servers import Server

TTL = 1.5
SAGA = "zombie-0"
KEY = "Walk.zombie-0"


def walker(name: str, server: Server, namespace: str, folder: Path, *options: str) -> Child:
    argv = [sys.executable, "-m", "tests.chaos.walker", "--url", server.url, "--name", name, "--folder", str(folder)]
    ours = ["--namespace", namespace, "--lease-ttl", str(TTL), "--pace", "0", "--lasts", "120"]
    return Child(name, [*argv, *ours, *options], folder)


async def until_called(folder: Path, worker: str, calls: int) -> list[Called]:
    with trio.fail_after(60):
        while len(found := [call for call in read_calls(folder) if call.worker == worker]) < calls:  # noqa: ASYNC110  # processes set no event
            await trio.sleep(0.02)
    return found


async def until_logged(child: Child, text: str) -> str:
    with trio.fail_after(60):
        while text not in child.log.read_text():  # noqa: ASYNC110  # as above
            await trio.sleep(0.02)
    return next(line for line in child.log.read_text().splitlines() if text in line)


async def test_p7_a_zombie_that_wakes_in_the_middle_of_an_action_commits_nothing(
    server: Server, namespace: str, tmp_path: Path
) -> None:
    hold = tmp_path / f"{SAGA}.hold"
    hold.touch()
    zombie = walker("zombie", server, namespace, tmp_path, "--sagas", "1")
    heir = walker("heir", server, namespace, tmp_path)
    try:
        zombie.start()
        (first,) = await until_called(tmp_path, "zombie", 1)
        zombie.signal(signal.SIGSTOP)
        heir.start()
        again = (await until_called(tmp_path, "heir", 1))[0]
        async with open_jetstream(Connection(servers=(server.url,)), names=Names(namespace=namespace)) as store:
            adopted = await store.state.get(KEY)
            assert adopted is not None
            zombie.signal(signal.SIGCONT)
            # Its lease has lapsed and another worker has the record. Its action does not know that, and ends normally.
            hold.unlink()
            refused = await until_logged(zombie, "fenced")
            print(refused)
            with trio.fail_after(60):
                while (ended := await store.archive.get(KEY)) is None:  # noqa: ASYNC110  # as above
                    await trio.sleep(0.02)
        record = json.loads(ended.value)
    finally:
        for child in (zombie, heir):
            await child.stop()
    assert (first.step, first.epoch, again.step, again.epoch) == ("step0", 1, "step0", 2), (
        "under the same key, once more"
    )
    write = re.search(r"expected revision (\d+), found revision (\d+)", refused)
    assert write is not None, "it was the write that was refused"
    assert int(write[1]) < adopted.revision <= int(write[2])
    assert (record["status"], record["epoch"]) == ("completed", 2)
    assert record["write"].startswith(record["owner"])
    assert record["owner"].startswith("heir-")
    assert {call.step for call in read_calls(tmp_path) if call.worker == "zombie"} == {"step0"}, (
        "and it went no further"
    )
