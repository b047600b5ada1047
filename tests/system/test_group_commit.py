"""Many sagas whose writes share atomic batches: each has its own result, whatever becomes of a batch.

Small groups of three writes, on the store in memory; `tests/store/test_gathering.py` has the rules by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, get_args

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed
from sagakit.errors import Fenced, StoreError
from sagakit.store import gathering
from sagakit.store.event_chains import EventChain
from sagakit.store.faults import BatchFaultKind, FaultKind, StoreFault, Watched
from sagakit.store.gathering import BatchRefused, Gathering
from sagakit.store.memory_batches import Member as Write
from sagakit.store.memory_connection import MemoryConnection
from sagakit.store.memory_server import MemoryServer
from sagakit.system.io import publisher

from tests.sagas import BookTrip, Trip
from tests.system.members import Member, change, killable, member, stands, suffixes, until_ended

Clock = trio.testing.MockClock
pytestmark = pytest.mark.usefixtures("quiet_crashes")
SAGAS = 24
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
DONE = ["started", "step.hotel", "step.flight", "step.tickets", "completed"]
UNDONE = ["started", "step.hotel", "compensating", "step.hotel.undone", "failed"]
CALM: dict[str, Any] = {"scan_interval": 36000.0, "lease_ttl": 3600.0}


class Seen:
    """The batches that the server was sent."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.values: Counter[tuple[str, bytes]] = Counter()
        self.refused: int = 0
        self.chain: int = 0
        """The most events of one saga in a batch."""
        write = MemoryConnection.write_batch

        def seen(connection: MemoryConnection, members: Sequence[Write], done: Callable[[Any], None]) -> None:
            self.sizes.append(len(members))
            self.values.update((member.watched.where, member.watched.value) for member in members)
            sagas = Counter(member.order.rsplit(".", 1)[0] for member in members if member.watched.where == "events")
            self.chain = max(self.chain, *sagas.values(), 0)

            def told(result: Any) -> None:
                self.refused += isinstance(result, BatchRefused)
                done(result)

            write(connection, members, told)

        patch.setattr(MemoryConnection, "write_batch", seen)

    def check(self) -> None:
        assert max(self.sizes) > 2, "no batch was made"
        assert max(self.values.values()) == 1, "a write is in two batches"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    monkeypatch.setattr(gathering, "ENTER", 3)
    monkeypatch.setattr(gathering, "LEAVE", 2)
    return Seen(monkeypatch)


def batching() -> MemoryServer:
    server = MemoryServer()
    server.batches = True
    return server


class Crowd:
    """Sagas that run at the same time, each third of which is refused, and a look at the record at each call (P1)."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self.saga = BookTrip(self._look)
        self.ids = [str(number) for number in range(SAGAS)]
        self.broken: list[str] = []

    async def _look(self, name: str, ctx: Context) -> None:
        record = stands(self.server, "SAGA_STATE", f"BookTrip.{ctx.saga_id}") or {}
        state = record.get("steps", {}).get(name.removeprefix("cancel_"), {}).get("state")
        if state != ("undoing" if name.startswith("cancel_") else "running"):
            self.broken.append(f"P1: {ctx.saga_id} calls {name} without a durable record: {state}")

    async def run(self, worker: Member) -> None:
        async def one(id: str) -> None:
            outcome = await worker.runtime.execute(BookTrip, id, self.trip(id))
            assert isinstance(outcome, Failed if self.trip(id).refuse else Completed), outcome

        async with trio.open_nursery() as nursery:
            for id in self.ids:
                nursery.start_soon(one, id)

    def trip(self, id: str) -> Trip:
        return Trip(refuse="flight") if int(id) % 3 == 0 else Trip()

    def check(self) -> None:
        assert self.broken == []
        for id in self.ids:
            found = [suffix for suffix in suffixes(self.server, id) if suffix in DONE + UNDONE]
            assert found == (UNDONE if self.trip(id).refuse else DONE)
            assert stands(self.server, "SAGA_ARCHIVE", f"BookTrip.{id}") is not None
            live = stands(self.server, "SAGA_STATE", f"BookTrip.{id}")
            assert live is None or "ended" in live

    def faults(self, dice: Random, number: int) -> None:
        """Order faults of records, archive entries and events of some sagas. They strike the first batches, too."""
        self.server.faults.order(*(StoreFault(kind=kind) for kind in get_args(BatchFaultKind) * 4))
        for _ in range(number):
            key = dice.choice([f"BookTrip.{dice.choice(self.ids)}", f"saga.BookTrip.{dice.choice(DONE)}"])
            kind = dice.choice(KINDS)
            if kind != "full" or not key.startswith("BookTrip."):
                self.server.faults.order(StoreFault(kind=kind, key=key, delay=dice.choice((0.0, 0.002, 3.0))))


async def crowd_with_faults(seen: Seen, seed: int) -> None:
    crowd = Crowd(batching())
    crowd.faults(Random(seed), 25)
    async with member(crowd.server, crowd.saga, **CALM) as worker:
        with trio.fail_after(2000):
            await crowd.run(worker)
        await worker.retired()
    crowd.check()
    seen.check()
    assert set(Counter(crowd.saga.calls).values()) == {1}, "each call was made once"


@pytest.mark.parametrize("seed", range(6))
async def test_p1_p8_p9_every_write_of_a_batch_has_its_own_result(seed: int, seen: Seen, autojump_clock: Clock) -> None:
    await crowd_with_faults(seen, seed)
    assert seen.refused > 1


async def test_without_faults_nothing_is_refused(seen: Seen, autojump_clock: Clock) -> None:
    crowd = Crowd(batching())
    async with member(crowd.server, crowd.saga, **CALM) as worker:
        await crowd.run(worker)
        await worker.retired()
    crowd.check()
    seen.check()
    assert seen.refused == 0
    assert seen.chain > 1, "no event took another one of its saga along"


@pytest.mark.parametrize("seed", range(3))
async def test_p8_a_worker_that_is_killed_in_the_middle_of_its_batches(
    seed: int, seen: Seen, autojump_clock: Clock
) -> None:
    """The half of a batch that has arrived before the kill is worth nothing: the next worker finds what was before."""
    dice = Random(seed)
    crowd = Crowd(batching())
    left = [dice.randrange(40, 160)]
    async with killable() as start:
        first = await start(crowd.server, crowd.saga, scan_interval=5.0)

        def kill(_: object) -> None:
            left[0] -= 1
            if not left[0]:
                first.kill()

        crowd.server.faults.before_write = kill
        async with trio.open_nursery() as nursery:
            for id in crowd.ids:
                nursery.start_soon(first.runtime.start, BookTrip, id, crowd.trip(id))
            while left[0] > 0:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        adoptions: dict[str, bytes] = {}

        def note(write: Watched) -> None:
            if write.where == "state" and b'"epoch":2' in write.value:
                adoptions.setdefault(write.key, write.value)

        crowd.server.faults.before_write = note
        second = await start(crowd.server, crowd.saga, scan_interval=5.0)
        crowd.ids = [id for id in crowd.ids if stands(crowd.server, "SAGA_STATE", f"BookTrip.{id}") is not None]
        with trio.fail_after(2000):
            for id in crowd.ids:
                await until_ended(crowd.server, f"BookTrip.{id}")
        await second.retired()
    crowd.check()
    assert len(crowd.ids) > 3
    assert adoptions
    assert not [key for key, value in adoptions.items() if ("state", value) in seen.values], "adoptions go alone"


async def test_p7_sagas_that_were_taken_away_do_not_keep_back_the_others_of_their_batches(
    seen: Seen, autojump_clock: Clock
) -> None:
    crowd = Crowd(batching())
    taken = [str(number) for number in range(1, SAGAS, 4)]
    begun: set[str] = set()
    gate = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        if name == "hotel":
            begun.add(ctx.saga_id)
            await gate.wait()

    crowd.saga.hook = hook
    async with member(crowd.server, crowd.saga, **CALM) as worker, trio.open_nursery() as nursery:
        for id in crowd.ids:
            await worker.runtime.start(BookTrip, id, crowd.trip(id))
        while len(begun) < SAGAS:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.01)
        for id in taken:  # more than go singly before the others gather
            change(crowd.server, f"BookTrip.{id}", owner="somebody", epoch=9)
            crowd.ids.remove(id)
        worker.store.freeze()  # all writes come before the first answer
        gate.set()
        await trio.sleep(1.0)
        worker.store.thaw()
        for id in crowd.ids:
            nursery.start_soon(until_ended, crowd.server, f"BookTrip.{id}")
    crowd.check()
    seen.check()
    assert seen.refused
    for id in taken:
        record = stands(crowd.server, "SAGA_STATE", f"BookTrip.{id}")
        assert record is not None
        assert record["owner"] == "somebody"


# ------------------------------------------------------------------- mutants

ENDED = Gathering._batch_ended


def refused_is_committed(group: Gathering[Any], members: Sequence[Any], result: Any) -> None:
    ENDED(group, members, [10**6] * len(members) if isinstance(result, BatchRefused) else result)


def one_key_for_all(group: Gathering[Any], members: Sequence[Any], result: Any) -> None:
    """Take a batch without an answer for committed, if its first record is there."""
    bucket: Any = group._carrier
    first = members[0]
    if isinstance(result, StoreError) and hasattr(bucket, "_bucket"):
        entry = bucket._bucket(first.order).read(first.order)
        if entry is not None and entry.value == first.write.value:
            result = range(entry.revision, entry.revision + len(members))
    ENDED(group, members, result)


SUBMIT = Gathering.submit
BELIEVED = "P1: .* without a durable record|expected revision .*, found"
"""Results of a write that was taken for durable: a call without a record, or a next write that finds nothing."""


def shares_again(group: Gathering[Any], order: str, write: Any, size: int, done: Any, *, alone: bool) -> None:
    SUBMIT(group, order, write, size, done, alone=False)


CHAIN_ENDED, BEHIND = EventChain.ended, EventChain.behind


def forgets_those_behind(chain: EventChain, result: Any) -> None:
    chain.count = 0
    CHAIN_ENDED(chain, result)


def leaves_one_out(chain: EventChain) -> Sequence[Any]:
    return list(BEHIND(chain))[1:]


def takes_them_along_again(queue: Any, count: int) -> None:
    queue.alone_to = queue.events[0].seq


@pytest.mark.parametrize(
    ("of", "name", "mutant", "said"),
    [
        (Gathering, "_batch_ended", refused_is_committed, BELIEVED),
        (Gathering, "_batch_ended", one_key_for_all, BELIEVED),
        (Gathering, "submit", shares_again, "a write is in two batches"),
        (EventChain, "ended", forgets_those_behind, "a write is in two batches"),
        (EventChain, "behind", leaves_one_out, "P9: the events come as"),
        (publisher._Queue, "go_alone", takes_them_along_again, "a write is in two batches"),
    ],
)
async def test_a_planted_bug_is_found(
    of: type, name: str, mutant: Any, said: str, seen: Seen, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    monkeypatch.setattr(of, name, mutant)
    errors = (AssertionError, Fenced)
    with pytest.RaisesGroup(pytest.RaisesExc(errors, match=said), allow_unwrapped=True, flatten_subgroups=True):
        for seed in range(6):
            await crowd_with_faults(seen, seed)
