"""Rounds of `kill -9` of a server in the middle of atomic batches: `python -m tests.store.killed_groups --rounds 200`.

Writers keep a bucket and the event log busy in groups. A round kills the server while a batch is under way, starts it
again and looks: every acknowledged write is there, and of no batch is only a part there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch

import trio
from sagakit.errors import Ambiguous, StoreError, Unavailable
from sagakit.jetstream.batches import Batches
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.layout import StreamOptions
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.store.gathering import BatchDone, BatchRefused
from sagakit.store.names import Names
from sagakit.store.ports import EventMessage, Write

from tests.servers import Server, running_server

WRITERS = 150
BEHIND = 3
"""Events that a saga hands in at once."""
PATIENCE = 60.0


class Batch:
    """A batch that was sent, and what became of it."""

    def __init__(self, messages: Sequence[tuple[str, bytes, bytes]]) -> None:
        self.values = [payload for _, _, payload in messages]
        self.is_event = messages[0][0].startswith("saga.")
        self.result: Sequence[int] | BatchRefused | StoreError | None = None


class EventsOfSaga:
    """The events of a saga that are not acknowledged yet."""

    def __init__(self, key: str, events: list[EventMessage]) -> None:
        self.key = key
        self.events = events
        self.together = 1
        """The number of events that the next result is about."""

    def behind(self) -> Sequence[EventMessage]:
        return self.events[1:]

    def go_together(self, count: int) -> None:
        self.together = count

    def go_alone(self, count: int) -> None:
        raise AssertionError(f"a batch with {count} events of {self.key} was refused")


class Load:
    """Writers of one store. After a round `acked` has the last acknowledged value of each key, `doubt` the next one."""

    def __init__(self, store: JetStreamStore) -> None:
        self._store = store
        self.batches: list[Batch] = []
        self.together: int = 0
        """The most events of one saga that a batch took along."""
        self.acked: dict[str, tuple[int, bytes]] = {f"Kill.{number}": (0, b"") for number in range(WRITERS)}
        self.doubt: dict[str, bytes] = {}
        self.events: set[bytes] = set()
        """The events of this round that were acknowledged."""
        self.read: int = 0
        """The last sequence of the event log that was read."""
        self._writing = False
        self._open = 0
        self._number = 0

    def send(self, batches: Batches, messages: Sequence[tuple[str, bytes, bytes]], done: BatchDone) -> None:
        """Send a batch, and keep it in mind."""
        batch = Batch(messages)
        self.batches.append(batch)

        def told(result: Sequence[int] | BatchRefused | StoreError) -> None:
            batch.result = result
            done(result)

        SEND(batches, messages, told)

    @property
    def under_way(self) -> bool:
        """True while a batch of records is under way."""
        return any(batch.result is None and not batch.is_event for batch in self.batches)

    @property
    def settled(self) -> bool:
        """True when every write has its result."""
        return self._open == 0

    def begin(self) -> None:
        """Let every writer write, until `end`."""
        self.batches.clear()
        self.doubt.clear()
        self.events.clear()
        self._writing = True
        for key in self.acked:
            self._write(key)
            self._publish(key)

    def end(self) -> None:
        """Begin no more writes."""
        self._writing = False

    def _value(self, key: str) -> bytes:
        self._number += 1
        return f"{key}/{self._number}/".encode().ljust(300, b"x")

    def _write(self, key: str) -> None:
        if not self._writing:
            return
        value, (revision, _) = self._value(key), self.acked[key]

        def done(result: int | StoreError) -> None:
            self._open -= 1
            if isinstance(result, int):
                self.acked[key] = (result, value)
                self._write(key)
            else:
                assert isinstance(result, Ambiguous | Unavailable), result
                self.doubt[key] = value

        self._open += 1
        self._store.state.submit(Write(key, value, revision), done)

    def _publish(self, key: str) -> None:
        if not self._writing:
            return
        values = [self._value(key) for _ in range(BEHIND)]
        events = [EventMessage(key, "saga.Kill.started", value.decode().rstrip("x"), value) for value in values]
        self._open += 1
        self._append(EventsOfSaga(key, events))

    def _append(self, queue: EventsOfSaga) -> None:
        self._store.events.submit(queue.events[0], partial(self._published, queue), queue)

    def _published(self, queue: EventsOfSaga, result: int | StoreError) -> None:
        """Take the result of a saga's first events; publish the next ones."""
        if isinstance(result, StoreError):
            assert isinstance(result, Ambiguous | Unavailable), result
        else:
            count, queue.together = queue.together, 1
            self.events.update(event.payload for event in queue.events[:count])
            del queue.events[:count]
            self.together = max(self.together, count)
            if queue.events:
                self._append(queue)
                return
        self._open -= 1
        if isinstance(result, int):
            self._publish(queue.key)

    def check(self, found: dict[str, tuple[int, bytes]], log: set[bytes]) -> tuple[int, int]:
        """Compare with what the server has; return the batches in doubt that are there, and that are not."""
        for key, (revision, value) in self.acked.items():
            assert found.get(key, (0, b"")) in ((revision, value), *self._later(found, key, revision)), (
                f"{key} has lost {value!r}"
            )
        assert self.events <= log, "an acknowledged event is lost"
        there = gone = 0
        for batch in self.batches:
            values = log if batch.is_event else {value for _, value in found.values()}
            present = sum(value in values for value in batch.values)
            if isinstance(batch.result, Ambiguous):
                assert present in (0, len(batch.values)), f"{present} of {len(batch.values)} are there"
                there, gone = there + bool(present), gone + (not present)
            elif batch.result is None or isinstance(batch.result, BatchRefused | StoreError):
                assert present == 0, f"{batch.result!r}, and {present} are there"
        self.acked |= {key: found[key] for key in self.doubt if key in found}
        return there, gone

    def _later(self, found: dict[str, tuple[int, bytes]], key: str, revision: int) -> list[tuple[int, bytes]]:
        """Return the entry of a write in doubt that has happened."""
        entry = found.get(key, (0, b""))
        return [entry] if entry[0] > revision and entry[1] == self.doubt.get(key) else []


SEND = Batches.send


async def run(server: Server, rounds: int, seed: int, say: Callable[[str], object]) -> None:
    """Run so many rounds. Raises AssertionError as soon as something is lost, or is there in part."""
    dice = Random(seed)
    connection = Connection(servers=(server.url,), ack_timeout=20.0)
    async with open_jetstream(connection, names=Names(), options=StreamOptions(group_commit=True)) as store:
        load = Load(store)
        with patch.object(Batches, "send", lambda *call: load.send(*call)):
            for number in range(rounds):
                load.begin()
                await trio.sleep(dice.uniform(0.0, 0.3))
                with trio.fail_after(PATIENCE):
                    while not load.under_way:  # noqa: ASYNC110  # a real server
                        await trio.sleep(0.001)
                await trio.sleep(dice.choice((0.0, 0.0, 0.001, 0.005, 0.02)))
                server.kill()
                load.end()
                with trio.fail_after(PATIENCE):
                    while not load.settled:  # noqa: ASYNC110
                        await trio.sleep(0.01)
                server.start()
                found, log, load.read = await look(store, load.read)
                there, gone = load.check(found, log)
                together = f"up to {load.together} events of a saga together"
                say(f"round {number + 1}: {len(load.batches)} batches, {together}, in doubt {there} there, {gone} not")


async def look(store: JetStreamStore, after: int) -> tuple[dict[str, tuple[int, bytes]], set[bytes], int]:
    """Read every record, and every event with a higher sequence than `after`, once the server answers."""
    with trio.fail_after(PATIENCE):
        while True:
            await store.until_connected()
            try:
                async with store.state.entries() as entries:
                    found = {entry.key: (entry.revision, entry.value) async for entry in entries}
                pages = store.reading.events[0].values((), after=after)
                log = [event async for page in pages for event in page]
                return found, {event.value for event in log}, max((event.sequence for event in log), default=after)
            except (Unavailable, Ambiguous):
                await trio.sleep(0.05)


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_server(folder, jetstream="sync_interval: always"))
        trio.run(run, server, arguments.rounds, arguments.seed, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
