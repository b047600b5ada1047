"""A saga that kills its worker again and again runs alone, is found out, and harms no other saga (P11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import trio
import trio.testing
from sagakit import Context, RetryPolicy, Saga, step
from sagakit.store.memory_server import MemoryServer
from sagakit.system import isolation

from tests.sagas import Hook
from tests.system.members import Member, bounded, killable, member, stands, until_ended

Clock = trio.testing.MockClock
BAD = "bad"
BESIDE = 100


PATIENT = RetryPolicy(
    max_attempts=None, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)


class Fly(Saga[str]):
    """Flight, then the pivot: tickets. Its calls are retried without limit."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    @step(retry=PATIENT, timeout=timedelta(hours=2))
    async def flight(self, city: str, ctx: Context) -> None:
        await self.hook("flight", ctx)

    @flight.compensate
    async def cancel_flight(self, city: str, booked: None, ctx: Context) -> None:
        await self.hook("cancel_flight", ctx)

    @step(flight, retry=PATIENT, pivot=True)
    async def tickets(self, city: str, flight: None, ctx: Context) -> None:
        await self.hook("tickets", ctx)


class Poison:
    """A hook that kills the worker when the bad saga comes to `call`."""

    def __init__(self, call: str = "flight") -> None:
        self.call = call
        self.kill: Callable[[], None] = lambda: None
        self.died = trio.Event()
        self.deaths = 0
        self.beside_the_bad_one: list[str] = []
        self.open: set[str] = set()

    async def __call__(self, name: str, ctx: Context) -> None:
        self.open.add(ctx.saga_id)
        try:
            if ctx.saga_id == BAD and name == self.call:
                self.deaths += 1
                if self.deaths > isolation_begins():
                    self.beside_the_bad_one += self.open - {BAD}
                self.kill()
                self.died.set()
            await trio.sleep(0.5)
        finally:
            self.open.discard(ctx.saga_id)


def isolation_begins() -> int:
    """Return the number of deaths after which a saga is a suspect."""
    return 2


async def lives(
    server: MemoryServer,
    poison: Poison,
    saga_ids: list[str],
    *,
    until: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Run one worker after another, as an init system does, until all sagas have ended or `until` returns for each."""
    async with killable() as start, bounded():
        for life in range(100):
            running: Member = await start(server, Fly(poison), scan_interval=1e6)
            poison.kill, poison.died = running.kill, trio.Event()
            if life == 0:
                for saga_id in saga_ids:
                    await running.runtime.start(Fly, saga_id, "Rome")
            async with trio.open_nursery() as nursery:

                async def all_ended() -> None:
                    for saga_id in saga_ids:
                        await (until(saga_id) if until else until_ended(server, f"Fly.{saga_id}"))
                    nursery.cancel_scope.cancel()

                async def one_life() -> None:
                    await poison.died.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(all_ended)
                nursery.start_soon(one_life)
            if not poison.died.is_set():
                return
    raise AssertionError("P11: the saga that kills its worker is never found out")


async def test_p11_a_saga_that_kills_its_worker_is_found_out_and_the_hundred_beside_it_complete(
    autojump_clock: Clock,
) -> None:
    server, poison = MemoryServer(), Poison()
    beside = [f"s{number}" for number in range(BESIDE)]
    await lives(server, poison, [*beside, BAD])
    assert poison.beside_the_bad_one == [], "P11: a suspect ran beside others"
    assert poison.deaths == isolation_begins() + 3, "two beside others, three alone"
    bad = stands(server, "SAGA_ARCHIVE", f"Fly.{BAD}")
    assert bad is not None
    assert bad["status"] == "failed"
    assert bad["failure"]["reason"] == "its worker died 3 times while it ran alone"
    assert {name: log["state"] for name, log in bad["steps"].items()} == {"flight": "undone"}
    for saga_id in beside:
        record = stands(server, "SAGA_ARCHIVE", f"Fly.{saga_id}")
        assert record is not None
        assert record["status"] == "completed"
        assert record.get("lone_deaths", 0) == 0


async def test_p11_a_suspect_past_its_pivot_is_stuck(autojump_clock: Clock) -> None:
    server, poison = MemoryServer(), Poison("tickets")
    await lives(server, poison, [BAD], until=lambda saga_id: _until_stuck(server, f"Fly.{saga_id}"))
    record = stands(server, "SAGA_STATE", f"Fly.{BAD}")
    assert record is not None
    assert record["status"] == "stuck"
    assert "died 3 times" in record["stuck"]


async def _until_stuck(server: MemoryServer, key: str) -> None:
    while (stands(server, "SAGA_STATE", key) or {}).get("status") != "stuck":  # noqa: ASYNC110  # virtual time
        await trio.sleep(0.1)


class Lives:
    """Workers one after another. Each starts one saga, and has five seconds to die of the bad one."""

    def __init__(self, start: Callable[..., Awaitable[Member]], poison: Poison, hook: Hook) -> None:
        self.server = MemoryServer()
        self._start = start
        self._poison = poison
        self._hook = hook

    async def one(self, saga_id: str) -> Member:
        running = await self._start(self.server, Fly(self._hook), scan_interval=1e6)
        self._poison.kill, self._poison.died = running.kill, trio.Event()
        await running.runtime.start(Fly, saga_id, "Rome")
        with trio.move_on_after(5):
            await self._poison.died.wait()
        return running


async def test_p8_a_saga_that_is_held_for_a_suspect_is_not_passivated(autojump_clock: Clock) -> None:
    """The saga waits for no time and for no message, so nothing would wake it."""
    poison, go_on = Poison(), trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        if ctx.saga_id != BAD:
            await trio.sleep(3)
        elif poison.deaths < 2:
            await poison(name, ctx)
        else:
            await go_on.wait()

    async with killable() as start, bounded():
        lives = Lives(start, poison, hook)
        await lives.one(BAD)
        await lives.one("another")
        await lives.one("beside")
        await trio.sleep(100)
        record = stands(lives.server, "SAGA_STATE", "Fly.beside")  # no caller asks its actor, which would wake it
        assert record is not None
        assert {name: log["state"] for name, log in record["steps"].items()} == {"flight": "done"}, "it is held back"
        go_on.set()
        await until_ended(lives.server, "Fly.beside")


async def test_a_worker_that_cannot_come_to_rest_puts_the_suspect_off_and_continues(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that takes an hour does not keep the others from working for an hour."""
    monkeypatch.setattr(isolation, "PATIENCE", 30.0)
    poison, go_on = Poison(), trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        if ctx.saga_id == "long" and name == "flight":
            await go_on.wait()
        elif ctx.saga_id == BAD:
            await poison(name, ctx)

    async with killable() as start, bounded():
        lives = Lives(start, poison, hook)
        await lives.one(BAD)
        await lives.one("beside")
        running = await lives.one("long")
        assert poison.deaths == 2, "as a suspect it waits"
        for number in range(20):
            await running.runtime.execute(Fly, f"beside-{number}", "Rome")
            await trio.sleep(1)
        assert poison.deaths == 2
        go_on.set()
        await poison.died.wait()
    assert poison.deaths == 3


class Stays(Saga[float, None]):
    def __init__(self) -> None:
        self.begun: list[str] = []

    @step(compensate=None, timeout=timedelta(hours=1))
    async def go(self, seconds: float, ctx: Context) -> None:
        self.begun.append(ctx.saga_id)
        await trio.sleep(seconds)


async def test_a_new_saga_that_waited_for_a_place_checks_the_gate_again(autojump_clock: Clock) -> None:
    saga = Stays()
    async with member(MemoryServer(), saga, max_active=2) as worker, trio.open_nursery() as nursery:
        await worker.runtime.start(Stays, "suspect", 100.0)
        await worker.runtime.start(Stays, "other", 5.0)
        nursery.start_soon(worker.runtime.start, Stays, "new", 1.0)
        await trio.sleep(1)
        gate = worker.worker.environment.gate
        gate.close()
        await trio.sleep(20)
        assert saga.begun == ["suspect", "other"]
        gate.open()
        await trio.sleep(5)
        assert saga.begun == ["suspect", "other", "new"]
