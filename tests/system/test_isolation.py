"""A suspect's turn alone, whatever happens to the suspect, to its actor and to the worker meanwhile (P11).

The gate opens again, nobody waits for ever, and no record says that its saga runs alone while another attempt is open.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing
from msgspec import structs
from sagakit import Context, Reject, RetryPolicy, Saga, child, step
from sagakit.engine import decode, encode
from sagakit.engine.codec import Loaded
from sagakit.errors import RuntimeClosed
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write
from sagakit.system.isolation import PATIENCE, Isolation

from tests.looks import record_of
from tests.system.members import Member, killable, stands, until_ended
from tests.system.test_ownership import bounded

Clock = trio.testing.MockClock
CALM = {"lease_ttl": 600.0, "scan_interval": 1e6}
PATIENT = RetryPolicy(
    max_attempts=None, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
BAD = "Work.bad"


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Crashes are the point here; their tracebacks are not."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)


class Work(Saga[str]):
    """One step, which takes as long as the stage says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @step(retry=PATIENT, timeout=timedelta(hours=10))
    async def go(self, text: str, ctx: Context) -> None:
        await self.stage.act(ctx.saga_id)

    @go.compensate(retry=PATIENT)
    async def undo(self, text: str, done: None, ctx: Context) -> None: ...

    @step(go, compensate=None)
    async def last(self, text: str, gone: None, ctx: Context) -> None: ...


class Stage:
    """A worker with suspects and others; it sees to it that who is said to be alone is alone."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.open: list[str] = []
        self.lies: list[str] = []
        self.waits_for: dict[str, trio.Event] = {}
        self.begun: dict[str, trio.Event] = {}

    async def act(self, saga_id: str) -> None:
        self.open.append(saga_id)
        try:
            if saga_id in self.begun:
                self.begun[saga_id].set()
            self.look()
            if saga_id in self.waits_for:
                await self.waits_for[saga_id].wait()
            else:
                await trio.sleep(0.5)
            self.look()
        finally:
            self.open.remove(saga_id)

    def look(self) -> None:
        for saga_id in self.open:
            record = stands(self.server, "SAGA_STATE", f"Work.{saga_id}") or {}
            if record.get("alone") and self.open != [saga_id]:
                self.lies.append(f"{saga_id} is said to be alone, beside {self.open}")

    def hold(self, *saga_ids: str) -> None:
        """Their attempts take until they are let go."""
        for saga_id in saga_ids:
            self.waits_for[saga_id], self.begun[saga_id] = trio.Event(), trio.Event()

    def let_go(self, saga_id: str) -> None:
        self.waits_for.pop(saga_id).set()

    async def suspects(self, start: Callable[..., Any], *saga_ids: str) -> None:
        """Let these be sagas that were open at the deaths of their workers: the next to adopt them suspects them."""
        self.hold(*saga_ids)
        victim: Member = await start(self.server, Work(self), **CALM)
        for saga_id in saga_ids:
            await victim.runtime.start(Work, saga_id, "x")
            await self.begun[saga_id].wait()
        victim.kill()
        for saga_id in saga_ids:
            change(self.server, f"Work.{saga_id}", recoveries=1)
            self.let_go(saga_id)

    def record(self, saga_id: str) -> dict[str, Any]:
        found = stands(self.server, "SAGA_STATE", f"Work.{saga_id}")
        assert found is not None
        return found

    async def traffic(self, worker: Member) -> None:
        """New sagas all the time; they wait while the gate is closed."""
        while True:
            await worker.runtime.start(Work, None, "x")
            await trio.sleep(0.1)

    async def all_well(self, worker: Member, *saga_ids: str) -> None:
        """These end while others come and go; in the end the gate is open, and nobody lied."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.traffic, worker)
            for saga_id in saga_ids:
                await until_ended(self.server, f"Work.{saga_id}")
            nursery.cancel_scope.cancel()
        await worker.runtime.execute(Work, "afterwards", "x")
        await trio.sleep(PATIENCE)
        assert worker.worker.environment.gate.is_open
        assert self.lies == []


def change(server: MemoryServer, key: str, **fields: Any) -> None:
    """Somebody writes these fields of a record."""
    entry = server.bucket("SAGA_STATE").read(key)
    assert entry is not None
    found = decode(key, entry.value)
    assert isinstance(found, Loaded)
    value = encode(structs.replace(found.record, **fields))
    server.bucket("SAGA_STATE").write(Write(key=key, value=value, expected=entry.revision))


def crash(worker: Member, key: str = BAD) -> None:
    """A bug of ours."""
    ref: Any = worker.worker.sagas.get(key)
    ref._cell.crash(RuntimeError("a bug"))


async def until(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110  # virtual time
        await trio.sleep(0.01)


async def preparing(stage: Stage, start: Callable[..., Any], *saga_ids: str, **options: Any) -> Member:
    """A worker on which a turn of the suspects is prepared: it waits for an attempt of `long`."""
    await stage.suspects(start, *(saga_ids or ("bad",)))
    worker: Member = await start(stage.server, Work(stage), **CALM, **options)
    stage.hold("long")
    await worker.runtime.start(Work, "long", "x")
    await stage.begun["long"].wait()
    await until(lambda: not worker.worker.environment.gate.is_open)
    return worker


async def running(stage: Stage, start: Callable[..., Any], *saga_ids: str, **options: Any) -> Member:
    """A worker on which the first suspect has its turn."""
    worker = await preparing(stage, start, *saga_ids, **options)
    stage.hold("bad")
    stage.let_go("long")
    await stage.begun["bad"].wait()
    assert stage.record("bad")["alone"]
    return worker


# ------------------------------------------------------------------------ its actor crashes


@pytest.mark.parametrize("until_quiet", [0.0, 0.01, 0.2, 5.0, PATIENCE + 1])
async def test_a_crash_while_the_turn_is_prepared(until_quiet: float, autojump_clock: Clock) -> None:
    """The next incarnation has a turn of its own; that of the one before is not taken for it."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        crash(worker)
        await trio.sleep(until_quiet)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


async def test_a_crash_while_the_turn_is_prepared_and_another_during_the_turn(autojump_clock: Clock) -> None:
    """The turn was put off meanwhile; the second crash is heard of as well."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        crash(worker)
        await trio.sleep(PATIENCE + 1)
        stage.hold("bad")
        stage.let_go("long")
        await stage.begun["bad"].wait()
        crash(worker)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


async def test_a_crash_of_one_whose_turn_was_put_off(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        await trio.sleep(PATIENCE + 1)
        crash(worker)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("kind", ["slow", "lose_ack", "never_applied"])
async def test_a_crash_after_the_grant_and_before_the_record_is_written(kind: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        stage.server.faults.order(StoreFault(kind=kind, key=BAD, delay=3.0))
        stage.let_go("long")
        await trio.sleep(0.5)
        assert "bad" not in stage.open
        crash(worker)
        await stage.all_well(worker, "bad", "long")


async def test_a_crash_during_the_turn(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        crash(worker)
        await trio.sleep(1)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("reach", [preparing, running])
async def test_an_actor_that_gives_up(reach: Any, autojump_clock: Clock) -> None:
    """The saga is stuck until an operator helps; then it has a turn again."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start, max_restarts=0)
        crash(worker)
        await until(lambda: stage.record("bad")["status"] == "stuck")
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "long")
        await (await worker.runtime.get(Work, "bad")).retry("mended", by="ann")
        await stage.all_well(worker, "bad")


# ----------------------------------------------------------- it ends, or goes somewhere else


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_a_suspect_that_is_not_wanted_any_more_while_it_waits_for_its_turn(
    verb: str, autojump_clock: Clock
) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        await getattr(await worker.runtime.get(Work, "bad"), verb)("no more")
        if verb == "terminate":
            await worker.runtime.execute(Work, "at once", "x")
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


async def test_a_suspect_that_is_none_any_more_does_not_keep_its_place_in_the_queue(autojump_clock: Clock) -> None:
    """Its participant has reported that the action was done."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        assert await worker.runtime.apply(BAD, "report", step="go") == "accepted"
        with trio.fail_after(2):
            await worker.runtime.execute(Work, "at once", "x")
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
async def test_a_suspect_that_is_not_wanted_any_more_during_its_turn(verb: str, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        await getattr(await worker.runtime.get(Work, "bad"), verb)("no more")
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("reach", [preparing, running])
async def test_a_suspect_that_another_worker_has_taken(reach: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start)
        change(stage.server, BAD, owner="elsewhere", epoch=stage.record("bad")["epoch"] + 1)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "long")
        assert worker.worker.environment.fenced_count == 1


# --------------------------------------------------------------------- several, and the worker


async def test_two_suspects_have_their_turns_one_after_the_other(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await preparing(stage, start, "bad", "worse")
        stage.let_go("long")
        await stage.all_well(worker, "bad", "worse", "long")
        for saga_id in ("bad", "worse"):
            ended = stands(stage.server, "SAGA_ARCHIVE", f"Work.{saga_id}")
            assert ended is not None
            assert (ended["status"], ended.get("lone_deaths", 0)) == ("completed", 0)


async def test_two_suspects_of_which_the_first_crashes_during_its_turn(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start, "bad", "worse")
        crash(worker)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "worse", "long")


def lose_isolation(worker: Member) -> None:
    """It crashes of a message that is none."""
    nothing: Any = None
    worker.worker.environment.isolation.tell_nowait(nothing)


@pytest.mark.parametrize("reach", [preparing, running])
async def test_the_isolation_actor_is_lost(reach: Any, autojump_clock: Clock) -> None:
    """Whoever waits asks again; whoever runs alone goes on alone."""
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start, "bad", "worse")
        lose_isolation(worker)
        with trio.move_on_after(1):
            await stage.traffic(worker)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        await stage.all_well(worker, "bad", "worse", "long")


async def test_the_isolation_actor_is_lost_with_the_suspect_that_runs(autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await running(stage, start)
        lose_isolation(worker)
        crash(worker)
        stage.let_go("bad")
        await stage.all_well(worker, "bad", "long")


async def test_the_isolation_actor_is_lost_right_after_it_has_granted_a_turn(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suspect hears of both at once."""
    do, stage = Isolation._do, Stage()

    def lost_after_the_grant(self: Isolation, action: Any) -> None:
        do(self, action)
        if action == "grant":
            monkeypatch.setattr(Isolation, "_do", do)
            raise RuntimeError("planted")

    monkeypatch.setattr(Isolation, "_do", lost_after_the_grant)
    async with killable() as start, bounded():
        worker = await preparing(stage, start)
        stage.let_go("long")
        await stage.all_well(worker, "bad", "long")


@pytest.mark.parametrize("reach", [preparing, running])
async def test_a_worker_that_leaves(reach: Any, autojump_clock: Clock) -> None:
    stage = Stage()
    async with killable() as start, bounded():
        worker = await reach(stage, start)
        worker.leave()
        await trio.sleep(60)
        for saga_id in list(stage.waits_for):
            stage.let_go(saga_id)
        heir = await start(stage.server, Work(stage), **CALM)
        await stage.all_well(heir, "bad", "long")


# ------------------------------------------------------------------------------- families


class Kid(Saga[str]):
    """A child, which takes three tries to be undone."""

    def __init__(self) -> None:
        self.tries = 0

    @step
    async def go(self, text: str, ctx: Context) -> None: ...

    @go.compensate(
        retry=RetryPolicy(max_attempts=None, initial_interval=timedelta(seconds=5), max_interval=timedelta(seconds=5))
    )
    async def undo(self, text: str, done: None, ctx: Context) -> None:
        self.tries += 1
        if self.tries < 3:
            raise ConnectionError("not yet")


class Parent(Saga[str]):
    kid = child(Kid, lambda text, ctx: text)


class Undoes(Saga[str]):
    kid = child(Kid, lambda text, ctx: text)

    @step(after=[kid], compensate=None)
    async def refuse(self, text: str, ctx: Context) -> None:
        raise Reject("no")


async def test_a_suspect_starts_its_child_in_its_turn(autojump_clock: Clock) -> None:
    """The child may not open anything while the gate is closed; the parent need not wait for that."""
    server, called = MemoryServer(), trio.Event()

    async def hang(call: Any, record: Any, child_type: str) -> Any:
        called.set()
        await trio.sleep_forever()

    async with killable() as start, bounded():
        victim = await start(server, Kid(), Parent(), **CALM)
        victim.worker.environment.children.call = hang  # type: ignore[method-assign]
        await victim.runtime.start(Parent, "p", "x")
        await called.wait()
        victim.kill()
        change(server, "Parent.p", recoveries=1)
        await start(server, Kid(), Parent(), **CALM)
        with trio.fail_after(20):
            await until_ended(server, "Parent.p")


async def test_whoever_waits_for_its_child_to_be_undone_does_not_keep_a_suspect_waiting(autojump_clock: Clock) -> None:
    """The child waits for the gate, its parent for the child, and the gate for the parent."""
    stage = Stage()
    async with killable() as start, bounded():
        await stage.suspects(start, "bad")
        stage.hold("bad")
        worker = await start(stage.server, Work(stage), Kid(), Undoes(), **CALM)
        parent = await worker.runtime.start(Undoes, "p", "x")
        with trio.fail_after(10):
            await stage.begun["bad"].wait()
        assert (await record_of(parent)).steps["kid"].state == "undoing"
        stage.let_go("bad")
        await parent.outcome()
        await stage.all_well(worker, "bad")


async def test_who_waits_at_the_gate_while_the_worker_leaves_is_told_at_once(autojump_clock: Clock) -> None:
    """Not only once the suspect has ended, or its grace is over."""
    stage = Stage()
    async with killable() as start, bounded(), trio.open_nursery() as nursery:
        worker = await running(stage, start, drain_timeout=100.0)
        refused = trio.Event()

        async def one() -> None:
            with pytest.raises(RuntimeClosed):
                await worker.runtime.start(Work, "one", "x")
            refused.set()

        nursery.start_soon(one)
        await trio.sleep(1)
        worker.leave()
        with trio.fail_after(1):
            await refused.wait()
        stage.let_go("bad")
