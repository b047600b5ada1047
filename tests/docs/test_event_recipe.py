"""The recipe of docs/wire.md for consumers of events, run exactly as printed, and killed with an event in hand."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from sagakit import Completed, open_runtime

from tests.docs.blocks import ROOT, blocks
from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.inbox_sender import send
from tests.system.test_wire import read_raw

CONSUMER = """
import asyncio, os, signal, sqlite3, sys
import recipe

url, path, stream, subject, ack_wait, dies = sys.argv[1:]
recipe.ACK_WAIT = float(ack_wait)
met = []


class Mortal(sqlite3.Connection):
    def __exit__(self, *error):
        super().__exit__(*error)
        if dies == "committed" and met == ["second"]:
            os.kill(os.getpid(), signal.SIGKILL)  # all is kept, nothing is acknowledged


def handle(event, db):
    db.execute("INSERT INTO handled VALUES (?, ?)", (event["run"], event["sequence"]))
    if event["sequence"] == 2:
        met.append("second")
        if dies == "in hand":
            os.kill(os.getpid(), signal.SIGKILL)


db = sqlite3.connect(path, factory=Mortal)
db.execute("CREATE TABLE IF NOT EXISTS handled (run TEXT, sequence INTEGER)")
asyncio.run(recipe.consume(url, db, handle, durable="mine", stream=stream, subject=subject))
"""


class Consumer:
    """A process with the recipe, and the events that it has handled so far."""

    def __init__(self, folder: Path, server: Server, namespace: str, recipe: str, *, ack_wait: float = 1.0) -> None:
        self._db = folder / "mine.db"
        self._folder = folder
        stream, subject = f"{namespace}_SAGA_EVENTS", f"{namespace}.saga.BookTrip.>"
        self._arguments = [server.url, str(self._db), stream, subject, str(ack_wait)]
        (folder / "recipe.py").write_text(recipe)
        (folder / "consumer.py").write_text(CONSUMER)

    def dies(self, when: str) -> None:
        """Run it until it kills itself with its second event in hand: nothing handled, or nothing acknowledged."""
        done = subprocess.run(self._command(when), cwd=self._folder, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL

    @contextmanager
    def lives(self) -> Iterator[None]:
        """Run the recipe while the context is open."""
        process = subprocess.Popen(self._command("never"), cwd=self._folder)
        try:
            yield
            assert process.poll() is None, "it ended by itself"
        finally:
            process.kill()
            process.wait()

    def _command(self, dies: str) -> list[str]:
        return [sys.executable, "consumer.py", *self._arguments, dies]

    def handled(self, run: str) -> list[int]:
        """Return the sequences of a run's events, in the order of their handling."""
        with closing(sqlite3.connect(self._db)) as db:
            rows = db.execute("SELECT sequence FROM handled WHERE run = ? ORDER BY rowid", (run,))
            return [sequence for (sequence,) in rows]

    async def until_handled(self, run: str, sequence: int) -> None:
        """Return once this event of the run was handled."""
        with trio.fail_after(60):
            while sequence not in self.handled(run):  # noqa: ASYNC110  # another process
                await trio.sleep(0.05)


async def run_of(server: Server, namespace: str, saga_id: str) -> str:
    """Run a saga to its end, with five events; return its run."""
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        handle = await runtime.start(BookTrip, saga_id, Trip())
        assert await handle.outcome() == Completed("tickets-Rome")
        return (await record_of(handle)).run


async def published_again(server: Server, namespace: str) -> None:
    """Publish all events once more, as an adopter may do when the server has forgotten their ids."""
    found: list[Any] = read_raw(server.url, namespace)["events"]
    parts = [(event["subject"], f"again-{event['body']['id']}", json.dumps(event["body"])) for event in found]
    await send(server, *(word for part in parts for word in part))


@pytest.fixture
def recipe() -> str:
    [found] = blocks(ROOT / "docs" / "wire.md", "python")
    return found


ALL = [1, 2, 3, 4, 5]


@pytest.mark.parametrize("when", ["in hand", "committed"])
async def test_p9_a_consumer_that_is_killed_handles_each_event_once_and_in_order(
    when: str, server: Server, namespace: str, tmp_path: Path, recipe: str
) -> None:
    consumer = Consumer(tmp_path, server, namespace, recipe)
    first, second = [await run_of(server, namespace, saga_id) for saga_id in ("one", "two")]
    await published_again(server, namespace)
    consumer.dies(when)
    assert consumer.handled(first) == ([1] if when == "in hand" else [1, 2])
    with consumer.lives(), consumer.lives():  # these consumers share the durable name, and the database
        third = await run_of(server, namespace, "three")
        await consumer.until_handled(third, 5)  # this event comes after all that were published before
        assert [consumer.handled(run) for run in (first, second, third)] == [ALL, ALL, ALL]
        await published_again(server, namespace)
        last = await run_of(server, namespace, "four")
        await consumer.until_handled(last, 5)
    assert [consumer.handled(run) for run in (first, second, third, last)] == [ALL, ALL, ALL, ALL]


async def test_an_existing_consumer_of_many_at_once_is_changed_to_one_at_a_time(
    server: Server, namespace: str, tmp_path: Path, recipe: str
) -> None:
    """The limit keeps the promise: an event was lost while the limit was missing."""
    # Event 2 must not come again before the next process has started, even on a busy machine.
    careless = Consumer(tmp_path, server, namespace, recipe.replace("max_ack_pending=1,", ""), ack_wait=15.0)
    first = await run_of(server, namespace, "one")
    careless.dies("in hand")
    with careless.lives():
        await careless.until_handled(first, 5)
    assert careless.handled(first) == [1, 3, 4, 5]
    consumer = Consumer(tmp_path, server, namespace, recipe)
    second = await run_of(server, namespace, "two")
    consumer.dies("in hand")
    with consumer.lives():
        await consumer.until_handled(second, 5)
    assert consumer.handled(second) == ALL
