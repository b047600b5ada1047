"""A message that comes while a saga moves to the archive neither stops it nor makes it retire twice."""

from __future__ import annotations

import trio
import trio.testing
from sagakit import Completed
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.system.members import change, killable, member, stands, until_ended
from tests.system.quotes import CALM, Order, Quote, begun, number, told

Clock = trio.testing.MockClock
LAST_EVENT = 65.0
"""Virtual time, in seconds, at which the last event is in the log."""


async def test_a_saga_that_is_about_to_retire_waits_for_a_write_under_way(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Quote(), Order(), **CALM) as running:
        quote = await begun(running)
        server.faults.order(StoreFault(kind="slow", key="saga.Quote.completed", delay=LAST_EVENT - trio.current_time()))
        await number(running, quote, 7)
        order = await running.runtime.get(Order, "one")
        sender = {"saga_type": "Order", "saga_id": "one", "run": (await record_of(order)).run}
        await running.runtime.signal(Order, "one", Order.go, "on")
        assert await order.outcome() == Completed(8)
        await trio.sleep(10)
        server.faults.order(StoreFault(kind="slow", key=str(quote), delay=LAST_EVENT))
        await told(running, quote, "again", {"kind": "release", "sender": sender})
        assert server.faults.left == [], "the answer to that write is still awaited when the last event is in the log"
        await until_ended(server, str(quote))
        assert running.worker.environment.fenced_count == 0
        assert not running.worker.sagas.keys()


async def test_the_next_owner_retires_an_ended_saga_that_holds_no_event_any_more(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, Quote(), Order(), **CALM)
        quote = await begun(victim)
        await number(victim, quote, 7)

        killed = trio.Event()

        def kill(write: Watched) -> None:
            if write.key == str(quote) and b'"released":true' in write.value:
                victim.kill()
                killed.set()

        server.faults.after_write = kill
        await victim.runtime.signal(Order, "one", Order.go, "on")
        with trio.fail_after(1000):
            await killed.wait()
        record = stands(server, "SAGA_STATE", str(quote))
        assert record is not None
        assert (record["status"], record.get("outbox", [])) == ("completed", [])
        await start(server, Quote(), Order())
        await until_ended(server, str(quote))


async def test_an_actor_that_was_fenced_does_not_retire_its_saga_when_the_last_event_is_acknowledged(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer()
    quiet = {"scan_interval": 3600.0}
    async with member(server, BookTrip(), **quiet) as running, member(server, BookTrip(), **quiet) as other:
        server.faults.order(StoreFault(kind="slow", key="saga.BookTrip.completed", delay=30.0))
        handle = await running.runtime.start(BookTrip, "one", Trip())
        assert await handle.outcome() == Completed("tickets-Rome")
        change(server, "BookTrip.one", owner=other.runtime.worker_id, epoch=7)
        await running.runtime.scan()
        await trio.sleep(1)
        assert running.worker.environment.fenced_count == 1
        assert server.faults.left == []
        await trio.sleep(60)
        assert stands(server, "SAGA_ARCHIVE", "BookTrip.one") is None, "the saga is another worker's"
