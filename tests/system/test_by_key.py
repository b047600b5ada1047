"""Verbs by key, for tools without classes: a verb is for the life of the id whose record the operator has seen."""

from __future__ import annotations

import trio
import trio.testing
from sagakit import Completed
from sagakit.client.by_key import PlainAccess
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import member, until_ended

Clock = trio.testing.MockClock
KEY = "BookTrip.one"


async def test_a_verb_that_is_meant_for_an_earlier_life_does_not_reach_the_next_one(autojump_clock: Clock) -> None:
    arrived, go_on = trio.Event(), trio.Event()
    go_on.set()

    async def hook(name: str, ctx: object) -> None:
        arrived.set()
        await go_on.wait()

    server = MemoryServer()
    async with member(server, BookTrip(hook)) as running:
        sagas = PlainAccess(running.worker)
        handle = await running.runtime.start(BookTrip, "one", Trip())
        seen = await sagas.runtime.record(KEY)
        assert await handle.outcome() == Completed("tickets-Rome")
        await until_ended(server, KEY)
        await sagas.delete(KEY)

        arrived, go_on = trio.Event(), trio.Event()
        again = await running.runtime.start(BookTrip, "one", Trip())
        await arrived.wait()
        answer = await sagas.send(seen, "terminate", reason="looked wrong", by="ann", timeout=10)
        assert (answer.verdict, answer.applied) == ("other run", False)
        assert answer.refusal.endswith("the saga that it was for has gone, and another one has its id")
        go_on.set()
        assert await again.outcome() == Completed("tickets-Rome")
