"""Plans are kept, and opening refuses a plan that changed under the same version and names the change."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import Context, Saga, step
from sagakit.definition import Plan, compiled
from sagakit.errors import PlanChanged
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write

from tests.sagas import BookTrip
from tests.system.members import member

Clock = trio.testing.MockClock


def first() -> Saga[Any]:
    class Order(Saga[str]):
        @step(timeout=timedelta(seconds=5))
        async def reserve(self, order: str, ctx: Context) -> str: ...

        @reserve.compensate
        async def release(self, order: str, held: str | None, ctx: Context) -> None: ...

        @step(reserve, compensate=None)
        async def charge(self, order: str, held: str, ctx: Context) -> int: ...

    return Order()


def tuned() -> Saga[Any]:
    class Order(Saga[str], deadline=timedelta(hours=1)):
        @step(timeout=timedelta(seconds=50))
        async def reserve(self, order: str, ctx: Context) -> str:
            return "other code"

        @reserve.compensate
        async def release(self, order: str, held: str | None, ctx: Context) -> None: ...

        @step(reserve, compensate=None)
        async def charge(self, order: str, held: str, ctx: Context) -> int: ...

    return Order()


def changed(version: int = 1) -> Saga[Any]:
    class Order(Saga[int], version=version):
        @step(compensate=None)
        async def reserve(self, order: int, ctx: Context) -> str: ...

        @step(pivot=True)
        async def charge(self, order: int, ctx: Context) -> str: ...

        @step
        async def mail(self, order: int, ctx: Context) -> None: ...

    return Order()


async def test_a_changed_plan_under_the_same_version_is_refused(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, first(), BookTrip()):
        pass
    async with member(server, tuned()) as running:
        with pytest.raises(PlanChanged) as refused:
            async with member(server, changed()):
                pass
    assert str(refused.value) == (
        "Order version 1 has changed since it was first run here: the input was str, is int; the step mail is new; "
        "reserve has no compensation any more; charge took the results of reserve, now nothing; "
        "charge was before the pivot, now the pivot; charge gave int, now str. "
        "Give the class version=2 and write its migrate(), which takes the unfinished sagas of version 1 over, "
        "or take the change back. "
        "(Timeouts, retries and code may change freely; order, names and types may not.) "
        f"What is kept cannot be replaced: the worker {running.runtime.worker_id} runs it. For a trial there are two "
        "more ways: delete the folder of `embedded:` (`.sagakit` in the working directory unless the URL names another"
        "), or run on `memory:`."
    )
    async with member(server, changed(version=2)), member(server, first()):
        pass


async def test_plans_can_be_read_again(autojump_clock: Clock) -> None:
    server = MemoryServer()
    plan = compiled(BookTrip).plan
    server.bucket("SAGA_META").write(Write("plan.Other.1.0", b'{"from": "the future"}', 0))
    for _ in range(2):
        async with member(server, BookTrip()):
            pass
    entry = server.bucket("SAGA_META").read(f"plan.BookTrip.1.{plan.digest}")
    assert entry is not None
    assert msgspec.json.decode(entry.value, type=Plan) == plan
    assert entry.revision == 2, "written once"
