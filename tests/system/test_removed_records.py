"""Records that are removed from outside while their sagas are active: starts and messages find that out at once."""

from __future__ import annotations

import trio
import trio.testing
from sagakit import Completed
from sagakit.client.by_key import PlainAccess
from sagakit.engine import Inbound
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import Member, member

Clock = trio.testing.MockClock
KEY = "BookTrip.one"


class Held:
    """Holds the attempts of a saga until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.saga = BookTrip(self._hook)

    async def _hook(self, name: str, ctx: object) -> None:
        await self.go_on.wait()


async def removed(server: MemoryServer, running: Member) -> None:
    """Start a saga, and remove its record under it."""
    await running.runtime.start(BookTrip, "one", Trip())
    server.bucket("SAGA_STATE").purge(KEY)


async def test_a_start_of_an_id_whose_record_was_removed_begins_a_new_run(autojump_clock: Clock) -> None:
    server, held = MemoryServer(), Held()
    async with member(server, held.saga) as running:
        await removed(server, running)
        began = trio.current_time()
        handle = await running.runtime.start(BookTrip, "one", Trip(city="Oslo"))
        assert trio.current_time() - began < 1, "it waited for a scan"
        held.go_on.set()
        assert await handle.outcome() == Completed("tickets-Oslo")


async def test_a_message_to_a_new_run_reaches_it_past_the_actor_of_the_old_one(autojump_clock: Clock) -> None:
    server, held, others = MemoryServer(), Held(), Held()
    async with member(server, held.saga) as old, member(server, others.saga) as new:
        await removed(server, old)
        await new.runtime.start(BookTrip, "one", Trip(city="Oslo"))
        record = await PlainAccess(new.worker).record(KEY)
        message = Inbound(id="m", kind="terminate", run=record.run, reason="wrong", by="ann")
        began = trio.current_time()
        with trio.fail_after(60):
            assert await old.worker.requests.deliver(KEY, message) == "accepted"
        assert trio.current_time() - began < 1, "it waited for a scan"
