"""Sagas by key, for tools without classes: a deletion is for the life of the id whose record the operator has seen."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, NotAllowed, Saga, UnknownSaga, each, signal
from sagakit.client.by_key import PlainAccess
from sagakit.engine import to_undo
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import member, until_ended

Clock = trio.testing.MockClock
KEY = "BookTrip.one"


async def test_a_life_that_has_ended_since_is_not_deleted_in_place_of_an_earlier_one(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        sagas = PlainAccess(running.worker)
        seen = []
        for _ in range(2):
            assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
            await until_ended(server, KEY)
            seen.append(await sagas.runtime.record(KEY))
            if len(seen) == 1:
                await sagas.delete(KEY, seen[0].run)
        with pytest.raises(NotAllowed, match="the saga that it was for has gone, and another one has its id"):
            await sagas.delete(KEY, seen[0].run)
        await sagas.delete(KEY, seen[1].run)
        with pytest.raises(UnknownSaga):
            await sagas.runtime.record(KEY)


async def test_the_steps_that_would_be_undone_are_those_that_are(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Gifts()) as running:
        sagas = PlainAccess(running.worker)
        handle = await running.runtime.start(Gifts, "one", 2)
        await trio.sleep(5)
        record = await sagas.runtime.record("Gifts.one")
        plan = await sagas.plan_of(record)
        assert plan is not None
        expected = to_undo(plan, record)
        await handle.cancel("changed my mind")
        outcome = await handle.outcome()
    assert isinstance(outcome, Failed)
    assert sorted(expected) == ["wrap/0", "wrap/1"], "the items, and not their each"
    assert set(expected) <= set(outcome.compensated)


class Gifts(Saga[int]):
    """Wraps so many gifts, then waits."""

    @each(lambda number, ctx: list(range(number)))
    async def wrap(self, number: int, gift: int, ctx: Context) -> None: ...

    @wrap.compensate
    async def unwrap(self, number: int, gift: int, wrapped: None, ctx: Context) -> None: ...

    go = signal(str, after=[wrap])
