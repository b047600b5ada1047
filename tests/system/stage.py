"""A worker with suspects, whose attempts take as long as a test says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import trio
from sagakit import Context, RetryPolicy, Saga, step
from sagakit.store.memory_server import MemoryServer
from sagakit.system.isolation import PATIENCE

from tests.system.members import Member, change, stands, until_ended

CALM = {"lease_ttl": 600.0, "scan_interval": 1e6}
PATIENT = RetryPolicy(
    max_attempts=None, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
BAD = "Work.bad"


class Work(Saga[str]):
    """A saga with a step that takes as long as the stage says."""

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
    """A server with suspects and other sagas. It notes a lie when a saga runs with others and its record says alone."""

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
        """Keep the attempts of these sagas open until `let_go`."""
        for saga_id in saga_ids:
            self.waits_for[saga_id], self.begun[saga_id] = trio.Event(), trio.Event()

    def let_go(self, saga_id: str) -> None:
        self.waits_for.pop(saga_id).set()

    async def suspects(self, start: Callable[..., Any], *saga_ids: str) -> None:
        """Make suspects of these sagas: they were open when their workers died, and wait to be adopted."""
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
        """Start new sagas all the time. They wait while the gate is closed."""
        while True:
            await worker.runtime.start(Work, None, "x")
            await trio.sleep(0.1)

    async def all_well(self, worker: Member, *saga_ids: str) -> None:
        """Wait for these sagas to end while others come and go. Assert that the gate is open and no record lied."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.traffic, worker)
            for saga_id in saga_ids:
                await until_ended(self.server, f"Work.{saga_id}")
            nursery.cancel_scope.cancel()
        await worker.runtime.execute(Work, "afterwards", "x")
        await trio.sleep(PATIENCE)
        assert worker.worker.environment.gate.is_open
        assert self.lies == []


async def until(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110  # virtual time
        await trio.sleep(0.01)


async def preparing(stage: Stage, start: Callable[..., Any], *saga_ids: str, **options: Any) -> Member:
    """Return a worker that prepares a suspect's turn: it waits for an attempt of `long`."""
    await stage.suspects(start, *(saga_ids or ("bad",)))
    worker: Member = await start(stage.server, Work(stage), **CALM, **options)
    stage.hold("long")
    await worker.runtime.start(Work, "long", "x")
    await stage.begun["long"].wait()
    await until(lambda: not worker.worker.environment.gate.is_open)
    return worker


async def running(stage: Stage, start: Callable[..., Any], *saga_ids: str, **options: Any) -> Member:
    """Return a worker on which the first suspect has its turn."""
    worker = await preparing(stage, start, *saga_ids, **options)
    stage.hold("bad")
    stage.let_go("long")
    await stage.begun["bad"].wait()
    assert stage.record("bad")["alone"]
    return worker
