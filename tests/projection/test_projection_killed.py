"""The program of docs/projection.md, run as printed on a real server, and killed with `kill -9` at a commit."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from sagakit import open_runtime

from tests.docs.blocks import ROOT, blocks
from tests.docs.test_event_recipe import published_again
from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.test_wire import read_raw

KILLED = """
import asyncio, os, signal, sqlite3, sys
import page

url, namespace, path, dies = sys.argv[1:]
met = 0


class Mortal(sqlite3.Connection):
    def commit(self):
        global met
        met += 1
        if met == 4 and dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().commit()
        if met == 4 and dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)


page.sqlite3 = type("sqlite", (), {"connect": lambda path: sqlite3.connect(path, factory=Mortal)})
asyncio.run(page.main(url, namespace, path))
"""
"""The first commit makes the tables, so the fourth is that of the third event."""


class Projecting:
    """Processes that run the page's program on one file."""

    def __init__(self, folder: Path, server: Server, namespace: str) -> None:
        self._folder = folder
        self._path = folder / "kinds.db"
        self._arguments = [server.url, namespace, str(self._path)]
        (folder / "page.py").write_text(blocks(ROOT / "docs" / "projection.md", "python")[0])
        (folder / "killed.py").write_text(KILLED)

    def dies(self, when: str) -> None:
        command = [sys.executable, "killed.py", *self._arguments, when]
        assert subprocess.run(command, cwd=self._folder, check=False, timeout=60).returncode == -signal.SIGKILL

    @contextmanager
    def lives(self) -> Iterator[None]:
        process = subprocess.Popen([sys.executable, "page.py", *self._arguments], cwd=self._folder)
        try:
            yield
            assert process.poll() is None, "it ended by itself"
        finally:
            process.kill()
            process.wait()

    def counts(self) -> Counter[str]:
        """Return the read model."""
        with closing(sqlite3.connect(self._path)) as db:
            return Counter(dict(db.execute("SELECT kind, number FROM kinds")))

    def rebuild(self) -> None:
        program = blocks(ROOT / "docs" / "projection.md", "python")[1]
        setting = f"import sqlite3, page\ndb = sqlite3.connect({str(self._path)!r})\n"
        setting += "kinds = page.Projection('kinds', page.count)\n"
        subprocess.run([sys.executable, "-c", setting + program], cwd=self._folder, check=True, timeout=60)

    async def until(self, wanted: Counter[str]) -> None:
        with trio.fail_after(60):
            while self.counts() != wanted:  # noqa: ASYNC110  # another process
                await trio.sleep(0.05)


async def booked(server: Server, namespace: str, *ids: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        for id in ids:
            await runtime.execute(BookTrip, id, Trip(refuse="flight" if id == "refused" else ""))


def kinds_in_the_log(server: Server, namespace: str) -> Counter[str]:
    """Return how many different events of each kind are in the log."""
    bodies = {event["body"]["id"]: event["body"]["type"] for event in read_raw(server.url, namespace)["events"]}
    return Counter(bodies.values())


@pytest.mark.parametrize("when", ["before", "after"])
async def test_p9_a_projection_that_is_killed_counts_each_event_once(
    when: str, server: Server, namespace: str, tmp_path: Path
) -> None:
    projecting = Projecting(tmp_path, server, namespace)
    await booked(server, namespace, "one", "refused")
    projecting.dies(when)
    assert projecting.counts().total() == (2 if when == "before" else 3)
    with projecting.lives(), projecting.lives():
        await published_again(server, namespace)
        await booked(server, namespace, "three")
        await projecting.until(kinds_in_the_log(server, namespace))
    projecting.rebuild()
    assert not projecting.counts()
    with projecting.lives():
        await projecting.until(kinds_in_the_log(server, namespace))
