"""The phases of a saga's actor: each cell of the table, and an actor in each phase that meets every message."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Runtime, Saga, signal, step
from sagakit.errors import IllegalTransition
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.saga.phase import PHASE_TABLE, Phase, PhaseMove, PhaseOf
from sagakit.system.saga.saga_messages import (
    AskStarted,
    AwaitOutcome,
    AwaitQuiet,
    ChildrenReleased,
    Compare,
    LeaseGood,
    ParentTold,
    Passivate,
    Peek,
    RunAlone,
    SagaMessage,
    Settled,
    Wake,
)
from sagakit.system.turns import AskAlone
from sagakit_actors import Ref, Reply

from tests.system.members import Member, killable, until_ended

Clock = trio.testing.MockClock
KEY = "Slow.one"


# ------------------------------------------------------------------------ the table


@pytest.mark.parametrize("move", get_args(PhaseMove))
@pytest.mark.parametrize("phase", get_args(Phase))
def test_each_cell_is_a_move_or_is_refused(phase: Phase, move: PhaseMove) -> None:
    found = PhaseOf(KEY)
    found.now = phase
    if move in PHASE_TABLE[phase]:
        found.move(move)
        assert found.now == PHASE_TABLE[phase][move]
    else:
        with pytest.raises(IllegalTransition, match=f"{KEY}: an actor that is {phase} cannot make the move '{move}'"):
            found.move(move)
        assert found.now == phase


def leads_to(phase: Phase) -> set[Phase]:
    return {after for before, moves in PHASE_TABLE.items() for after in moves.values() if after == phase != before}


def test_an_actor_is_opening_only_at_its_begin() -> None:
    assert leads_to("opening") == set()


def test_an_actor_that_is_over_stays_so() -> None:
    assert set(PHASE_TABLE["over"].values()) == {"over"}


def test_an_actor_can_end_from_each_phase() -> None:
    assert {moves["end"] for moves in PHASE_TABLE.values()} == {"over"}


def test_only_what_is_durable_lets_an_opening_actor_run() -> None:
    assert [move for move, after in PHASE_TABLE["opening"].items() if after == "running"] == ["durable"]


def test_nothing_is_written_or_performed_until_the_lease_is_seen_to_be_good() -> None:
    assert set(PHASE_TABLE["awaiting lease"]) == {"look", "end"}


def test_there_is_no_way_back_from_retiring() -> None:
    assert set(PHASE_TABLE["retiring"].values()) == {"retiring", "over"}


# ------------------------------------------------------------------------ the actor


class Slow(Saga[str, str]):
    """A saga that waits for `go` after a result that is as large as its input says."""

    @step
    async def first(self, size: str, ctx: Context) -> str:
        return "x" * int(size)

    @first.compensate
    async def undo_first(self, size: str, first: str | None, ctx: Context) -> None: ...

    go = signal(str, after=[first])

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Slow.go)


class Watch:
    """The phases of every actor that is made, newest last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[PhaseOf] = []
        made = PhaseOf.__init__

        def noted(phase: PhaseOf, key: str) -> None:
            made(phase, key)
            self.seen.append(phase)

        monkeypatch.setattr(PhaseOf, "__init__", noted)

    @property
    def now(self) -> Phase:
        return self.seen[-1].now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@asynccontextmanager
async def opening(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """The acknowledgment of the first write is on its way for 5 s."""
    async with killable() as start, trio.open_nursery() as nursery:
        running = await start(server, Slow())
        server.faults.order(StoreFault(kind="slow", key=KEY, delay=5.0))
        nursery.start_soon(running.runtime.start, Slow, "one", "10")
        await trio.sleep(1)
        yield running
        await trio.sleep(10)
        await go_on(server, running.runtime)


@asynccontextmanager
async def waiting(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """The saga waits for its signal."""
    async with killable() as start:
        running = await start(server, Slow())
        await running.runtime.start(Slow, "one", "10")
        await trio.sleep(1)
        yield running
        await go_on(server, running.runtime)


@asynccontextmanager
async def awaiting_lease(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """The lease lapses while the saga is about to call its step."""
    lapsed, good = [True], trio.Event()
    covers = LeaseStatus.covers
    monkeypatch.setattr(LeaseStatus, "covers", lambda self, since: not lapsed and covers(self, since))
    monkeypatch.setattr(LeaseStatus, "until_good", lambda self: good.wait())
    async with killable() as start:
        running = await start(server, Slow())
        await running.runtime.start(Slow, "one", "10")
        await trio.sleep(1)
        yield running
        lapsed.clear()
        good.set()
        await trio.sleep(1)
        await go_on(server, running.runtime)


@asynccontextmanager
async def held_back(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """The record, adopted from a dead worker, is too large to be written until the server takes larger messages."""
    async with killable() as start:
        first = await start(server, Slow())
        await first.runtime.start(Slow, "one", "20000")
        await trio.sleep(5)
        second = await start(server, Slow(), scan_interval=1.0)
        server.max_payload = 8 * 1024
        first.kill()
        await trio.sleep(60)
        yield second
        server.max_payload = 2**20
        await go_on(server, second.runtime)


@asynccontextmanager
async def retiring(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """The acknowledgment of the archive's write is on its way for 5 s."""

    def slow(write: Watched) -> None:
        if write.where == "archive":
            server.faults.order(StoreFault(kind="slow", key=KEY, delay=5.0))

    async with killable() as start:
        running = await start(server, Slow())
        await running.runtime.start(Slow, "one", "10")
        await trio.sleep(1)
        server.faults.before_write = slow
        await running.runtime.signal(Slow, "one", Slow.go, "on")
        await trio.sleep(1)
        yield running
        await until_ended(server, KEY)


PHASES: dict[Phase, Callable[[MemoryServer, pytest.MonkeyPatch], Any]] = {
    "opening": opening,
    "running": waiting,
    "awaiting lease": awaiting_lease,
    "held back": held_back,
    "retiring": retiring,
}


async def go_on(server: MemoryServer, runtime: Runtime) -> None:
    with trio.fail_after(1000):
        await runtime.signal(Slow, "one", Slow.go, "on")
        assert await (await runtime.get(Slow, "one")).outcome() == Completed("on")
        await until_ended(server, KEY)


def messages(ref: Ref[SagaMessage]) -> Iterator[SagaMessage]:
    """Yield messages that nobody has reason to send now: late ones, and some for the incarnation before."""
    yield Wake()
    yield Passivate()
    yield LeaseGood()
    yield ChildrenReleased()
    yield ParentTold(there=True)
    yield RunAlone(AskAlone(ref, incarnation=0))
    yield Settled(0, 7)
    yield Compare(0, trio.current_time())
    yield Compare(1_000_000, trio.current_time())
    yield Peek(Reply({}))
    yield AskStarted(Reply({}))
    yield AwaitOutcome(Reply({}))
    yield AwaitQuiet(Reply({}))


NUMBER = 13
"""Number of messages that `messages` yields."""


@pytest.mark.parametrize("number", range(NUMBER))
@pytest.mark.parametrize("phase", PHASES)
async def test_no_message_is_too_much_in_any_phase(
    phase: Phase,
    number: int,
    autojump_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    watch: Watch,
) -> None:
    server = MemoryServer()
    async with PHASES[phase](server, monkeypatch) as running:
        assert watch.now == phase
        ref = running.worker.sagas.get(KEY)
        assert ref is not None
        await ref.tell(next(itertools.islice(messages(ref), number, None)))
        await trio.sleep(1)
    crashes = [line.getMessage() for line in caplog.records if line.name.startswith("sagakit_actors")]
    assert crashes == []
