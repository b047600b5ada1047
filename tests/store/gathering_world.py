"""A world for `Gathering`: one stream, writers with one write each under way, and every fate that a message may have.

The writers decide ambiguous writes as the persistence actor does, by reading their own key. The world raises
AssertionError as soon as a rule is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from sagakit.errors import Ambiguous, Conflict, StoreError, Unavailable
from sagakit.store.gathering import BatchDone, BatchRefused, Gathering, Pause
from sagakit.store.ports import Done, Write

KEYS = 12
WRITES = 8
"""Writes of each writer."""
INTRUDER = b"intruder"


class Single(NamedTuple):
    write: Write
    done: Done


class Batch(NamedTuple):
    writes: Sequence[Write]
    done: BatchDone


class WorldPause(Pause):
    """Pauses that end when the world says so."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []

    def ask(self, over: Callable[[], None]) -> None:
        self.asked.append(over)


class World:
    """A stream, its carrier, and the writers."""

    def __init__(self, seed: int, *, twice: bool = True) -> None:
        self._dice = Random(seed)
        self._twice = twice
        self.stream: list[tuple[str, bytes]] = []
        """All that was ever written, in order: the revision is the place, from 1 on."""
        self.sent: list[Single | Batch] = []
        """The messages on their way, in order."""
        self.late: list[Sequence[Write]] = []
        """Batches and writes that were given up by the sender and may still arrive."""
        self.pause: WorldPause = WorldPause()
        self.gathering: Gathering[Write] = Gathering(self, self.pause)
        self.batched: list[bytes] = []
        """The values that were in a batch."""
        self.largest: int = 0
        self.refusals: int = 0
        self.writers: dict[str, Writer] = {f"T.{number}": Writer(self, f"T.{number}") for number in range(KEYS)}

    # ------------------------------------------------------------- the carrier

    def send_single(self, write: Write, done: Done) -> None:
        self.sent.append(Single(write, done))

    def send_batch(self, writes: Sequence[Write], done: BatchDone) -> None:
        assert not any(isinstance(one, Batch) for one in self.sent), "two batches are under way"
        for write in writes:
            assert not write.alone, "a write that is alone is in a batch"
            assert write.value not in self.batched, "a write is in two batches"
            self.batched.append(write.value)
        assert len({write.key for write in writes}) == len(writes), "a key is twice in a batch"
        self.largest = max(self.largest, len(writes))
        self.sent.append(Batch(writes, done))

    # -------------------------------------------------------------- the server

    def read(self, key: str) -> tuple[int, bytes]:
        """Return revision and value of a key; 0 for none."""
        places = [place for place, (other, _) in enumerate(self.stream, 1) if other == key]
        return (places[-1], self.stream[places[-1] - 1][1]) if places else (0, b"")

    def _fits(self, write: Write) -> bool:
        return self.read(write.key)[0] == write.expected

    def _apply(self, writes: Sequence[Write]) -> bool:
        if not all(map(self._fits, writes)):
            return False
        self.stream += [(write.key, write.value) for write in writes]
        return True

    def arrive(self) -> None:
        """Let the oldest message arrive, or not, and its answer come back, or not."""
        message = self.sent.pop(0)
        fate = self._dice.choice(("good",) * 6 + ("lost ack", "never", "late", "unsent", "half", "refused"))
        if isinstance(message, Single):
            self._single(message, fate)
        else:
            self._batch(message, fate)

    def _single(self, message: Single, fate: str) -> None:
        write, done = message
        if fate == "unsent":
            done(Unavailable("unsent"))
        elif fate in ("never", "late", "half"):
            if fate == "late":
                self.late.append([write])
            done(Ambiguous("no answer"))
        elif not self._apply([write]):
            assert write.expected is not None
            done(Ambiguous("no answer") if fate == "lost ack" else Conflict(write.key, write.expected))
        else:
            done(Ambiguous("no answer") if fate == "lost ack" else len(self.stream))

    def _batch(self, message: Batch, fate: str) -> None:
        writes, done = message
        if fate == "refused":
            self.refusals += 1
            done(BatchRefused("too many"))
        elif fate == "unsent":
            done(Unavailable("unsent"))
        elif fate in ("never", "late"):
            if fate == "late":
                self.late.append(writes)
            done(Ambiguous("no answer"))
        elif fate == "half":  # a store error in the middle of the commit
            for write in writes[: len(writes) // 2]:
                self._apply([write])
            done(Ambiguous("no answer"))
        elif not self._apply(writes):
            self.refusals += 1
            done(Ambiguous("no answer") if fate == "lost ack" else BatchRefused("wrong last sequence"))
        else:
            count, last = len(writes), len(self.stream)
            done(Ambiguous("no answer") if fate == "lost ack" else range(last - count + 1, last + 1))

    # ---------------------------------------------------------------- the run

    def run(self) -> None:
        """Let everything happen in some order, until every writer has done its writes or was fenced."""
        while any(not writer.over for writer in self.writers.values()) or self.sent:
            self._dice.choice(list(self._moves()))()
        for writer in self.writers.values():
            assert not writer.under_way, f"{writer.key}: a write has no result"

    def _moves(self) -> Iterator[Callable[[], None]]:
        idle = [writer for writer in self.writers.values() if writer.may_write]
        if idle:
            yield from [self._dice.choice(idle).write] * 4
        if self.sent:
            yield from [self.arrive] * 3
        if self.pause.asked:
            yield self._pause_over
        if self.late:
            yield self._late
        if self._twice and (handed := [writer for writer in self.writers.values() if writer.under_way]):
            yield self._dice.choice(handed).hand_in_again
        yield self._intrude

    def _pause_over(self) -> None:
        self.pause.asked.pop(0)()

    def _late(self) -> None:
        self._apply(self.late.pop(self._dice.randrange(len(self.late))))

    def _intrude(self) -> None:
        """Take a saga away, as an adopter does: rarely."""
        if self._dice.random() < 0.02:
            key = self._dice.choice(list(self.writers))
            self.stream.append((key, INTRUDER))


class Writer:
    """The owner of one key."""

    def __init__(self, world: World, key: str) -> None:
        self._world = world
        self.key = key
        self._revision = 0
        self._number = 0
        self._fenced = False
        self._write: Write | None = None

    @property
    def under_way(self) -> bool:
        return self._write is not None

    @property
    def over(self) -> bool:
        return not self.under_way and (self._fenced or self._number == WRITES)

    @property
    def may_write(self) -> bool:
        return not self.under_way and not self.over

    def write(self) -> None:
        self._number += 1
        self._submit(Write(self.key, f"{self.key}/{self._number}".encode(), self._revision))

    def hand_in_again(self) -> None:
        """Submit the same write once more, as after a crash of the persistence actor; the first copy stays."""
        if self._write is not None and not self._write.alone:
            self._submit(Write(self.key, self._write.value, self._write.expected, alone=True))

    def _submit(self, write: Write) -> None:
        self._write = write
        world = self._world
        quiet = not world.sent and not world.pause.asked
        world.gathering.submit(self.key, write, len(write.value), partial(self._ended, write), alone=write.alone)
        assert not quiet or world.sent, "a write on an idle stream waits"

    def _ended(self, write: Write, result: int | StoreError) -> None:
        assert isinstance(result, int | Conflict | Ambiguous | Unavailable), f"{self.key} is at fault for another"
        if isinstance(result, int):
            assert self._world.stream[result - 1] == (self.key, write.value), f"{write.value!r} is not at {result}"
        if write is not self._write:
            return  # of a copy that nobody waits for any more
        revision, value = self._world.read(self.key)
        if isinstance(result, int):
            self._stands(result)
        elif value == write.value:
            self._stands(revision)
        elif revision == write.expected:
            self._submit(Write(self.key, write.value, write.expected, alone=True))
        else:
            assert value == INTRUDER, f"{self.key} lost {write.value!r} to {value!r}"
            self._fenced, self._write = True, None

    def _stands(self, revision: int) -> None:
        self._revision, self._write = revision, None
